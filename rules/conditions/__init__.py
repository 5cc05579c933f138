"""Functions of signals that a condition can name, and the signal that a comparison is about."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from deploywatch.config import nearest
from deploywatch.quantity import parse_duration
from deploywatch.rules.conditions import (
    before,
    burn_rate,
    correlation,
    objectives,
    patterns,
    presence,
    seasonal,
    view,
    zscore,
)
from deploywatch.rules.language.expression import Argument, Comparison, ExpressionError
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals import known
from deploywatch.rules.signals.signal import Signal


@dataclass(frozen=True, slots=True)
class Function:
    """What it is called with, so many signals and then durations, and the signal that it makes of them."""

    build: Callable[[str, Sequence[Signal], Sequence[timedelta]], Signal]
    about: str
    signals: int = 1
    durations: int = 0
    only: tuple[str, ...] = ()
    """The signals that it takes, where not any."""
    unlabeled: bool = False
    """Whether it takes only signals with one value for a service."""

    @property
    def form(self) -> str:
        """How it is written, behind its name."""
        given = [self.only[0] if self.only else "error_ratio", "latency_p95"][: self.signals] + ["1h"] * self.durations
        return f"({', '.join(given)})"


FUNCTIONS: dict[str, Function] = {
    "rise": Function(before.rise, "how much more than before the deployment, as a share"),
    "drop": Function(before.drop, "how much less than before the deployment, as a share"),
    "loss": Function(before.loss, "how much less than before the deployment, in the signal's unit"),
    "zscore": Function(zscore.ZScore, "standard deviations from the mean of 24 hours"),
    "seasonal_rise": Function(seasonal.rise, "how much more than usual at this hour of the week, as a share"),
    "seasonal_drop": Function(seasonal.drop, "how much less than usual at this hour of the week, as a share"),
    "canary": Function(view.canary, "the same, of the series of the new version"),
    "stable": Function(view.stable, "the same, of the series of the old version, at the same moments"),
    "correlation": Function(
        correlation.Correlation, "how far two signals go together over an hour, from -1 to 1", signals=2, unlabeled=True
    ),
    "trend": Function(patterns.Trend, "how steadily it goes one way over half an hour, from -1 to 1"),
    "oscillation": Function(patterns.Oscillation, "how often it turned within half an hour"),
    "burn_rate": Function(
        burn_rate.BurnRate, "how fast the objective's error budget is spent", durations=1, only=objectives.OF
    ),
    "budget_left": Function(
        objectives.BudgetLeft, "the share of the objective's error budget that is left", only=objectives.OF
    ),
    "remains": Function(presence.Remains, "1 while it has a value, 0 for a day after; `gone(x)` is `remains(x) == 0`"),
    "present": Function(presence.Present, "1 while it has a value, else 0; `missing(x)` is `present(x) == 0`"),
}

_PARTS = {"deployments", "derived", "thresholds"}
"""Modules here that are no functions of their own."""

for _module in {module.name for module in pkgutil.iter_modules(__path__)} - _PARTS:
    if not any(function.build.__module__ == f"{__name__}.{_module}" for function in FUNCTIONS.values()):
        raise TypeError(f"no condition can name what rules/conditions/{_module}.py makes: add it to FUNCTIONS")


def signal(policy: Policy, comparison: Comparison, alert: Alert | None = None) -> Signal:
    """The signal of a comparison in a policy that has been loaded, as an alert sees it."""
    signals: Mapping[str, Signal] = known(policy.signals) | objectives.signals(policy.objectives)
    if alert is not None:
        signals = {name: view.of_alert(given, alert, alert.alert) for name, given in signals.items()}
    return resolve(signals, comparison)


def resolve(signals: Mapping[str, Signal], comparison: Comparison) -> Signal:
    """The signal of a comparison; ExpressionError at the word that is not known, or not in its place."""
    if not comparison.function:
        return _signal(signals, Argument(comparison.signal, comparison.signal_offset))
    function = FUNCTIONS.get(comparison.function)
    if function is None:
        message = f"unknown function {comparison.function!r}{nearest(comparison.function, FUNCTIONS)}"
        raise ExpressionError(message, comparison.signal_offset)
    given = comparison.arguments
    if len(given) != function.signals + function.durations:
        message = f"{comparison.function} is written {comparison.function}{function.form}"
        raise ExpressionError(message, comparison.signal_offset)
    parts = [_part(signals, comparison.function, function, argument) for argument in given[: function.signals]]
    lengths = [_length(argument) for argument in given[function.signals :]]
    return function.build(comparison.signal, parts, lengths)


def _part(signals: Mapping[str, Signal], name: str, function: Function, given: Argument) -> Signal:
    part = _signal(signals, given)
    if function.only and given.text not in function.only and not isinstance(part, objectives.Bad):
        raise ExpressionError(f"{name} takes {' or '.join(function.only)}, not {given.text}", given.offset)
    if function.unlabeled and part.labels:
        labels = ", ".join(part.labels)
        raise ExpressionError(
            f"{name} takes signals with one value for a service; {part.name} has {labels}", given.offset
        )
    return part


def _signal(signals: Mapping[str, Signal], given: Argument) -> Signal:
    if given.text not in signals:
        raise ExpressionError(f"unknown signal {given.text!r}{nearest(given.text, signals)}", given.offset)
    return signals[given.text]


def _length(given: Argument) -> timedelta:
    try:
        length = parse_duration(given.text)
    except ValueError as error:
        raise ExpressionError(str(error), given.offset) from error
    # The short window of a burn rate is a twelfth, and Prometheus takes whole milliseconds; seconds are easier to read.
    if length % timedelta(seconds=12) or not length:
        raise ExpressionError(f"{given.text} has no twelfth of whole seconds; write one such as 1h", given.offset)
    return length
