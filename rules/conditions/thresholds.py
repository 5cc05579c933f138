"""Limits that step with a deployment, as recorded series, so that alert and dashboard's line read the same number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.quantity import parse_quantity
from deploywatch.rules import promql
from deploywatch.rules.conditions import deployments, signal
from deploywatch.rules.conditions.deployments import Window
from deploywatch.rules.language.expression import Comparison, Condition, comparisons
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals.signal import Group, Record

ALERT = "alert"
"""The label that names the alert that a threshold belongs to."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What an alert compares with within a window; without one, whenever no other limit holds."""

    comparison: Comparison
    window: Window | None

    def __str__(self) -> str:
        return f"{self.comparison} within {self.window.said}" if self.window else str(self.comparison)


def limits(policy: Policy, alert: Alert, condition: Condition) -> tuple[Limit, ...]:
    """The limits of an alert that steps, in the order in which they are tried; none for any other alert."""
    if alert.within is None and not alert.tighter:
        return ()
    usual = next(comparisons(condition))
    within = deployments.window(policy, alert.within) if alert.within is not None else None
    stepping = [
        Limit(
            replace(usual, quantity=parse_quantity(step.limit), written=step.limit),
            deployments.window(policy, step.within),
        )
        for step in alert.tighter
    ]
    # The usual one last: `or` in the record takes the first that holds.
    return (*stepping, Limit(usual, within))


def record(policy: Policy, alert: Alert, every: Sequence[Limit]) -> Record:
    """The threshold series of an alert with limits that step, in its signal's unit."""
    about = "; ".join(map(str, every))
    labels = {AlertLabel.SEVERITY: alert.severity, ALERT: alert.alert}
    expression = "\nor\n".join(_step(policy, alert, limit) for limit in every)
    return Record(_name(policy, alert, every[0].comparison), expression, about, Group.COMPARISONS, labels)


def series(policy: Policy, alert: Alert, threshold: Record, *matchers: promql.Matcher) -> str:
    """The threshold series of one alert, of those that its record's name has."""
    return promql.recorded(policy, threshold.name, [*matchers, (ALERT, "=", alert.alert)])


def number(limit: Limit) -> Decimal:
    """What the threshold series says while a limit holds."""
    return limit.comparison.quantity.value


def _step(policy: Policy, alert: Alert, limit: Limit) -> str:
    constant = promql.constant(number(limit))
    if limit.window is not None:
        # `* 0 +`: the labels of what holds, with the limit as the value.
        return f"({limit.window.holds(policy)}) * 0 + {constant}"
    value = promql.recorded(policy, signal(policy, limit.comparison, alert).value(policy))
    return f"group by ({SERVICE}, {ENVIRONMENT}, {AlertLabel.POLICY}) ({value}) * 0 + {constant}"


def _name(policy: Policy, alert: Alert, comparison: Comparison) -> str:
    words = re.sub(r"\W+", "_", signal(policy, comparison, alert).name).strip("_")
    return f"{promql.level()}:policy_threshold:{words}"
