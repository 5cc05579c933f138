"""Checks of conditions: known signals and functions, units, series to read from, limits that can be passed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from deploywatch.quantity import Quantity, Unit, format_duration, parse_duration
from deploywatch.rules.checks.draft import Draft, Fault, conditions
from deploywatch.rules.comparison import impossible
from deploywatch.rules.conditions import resolve
from deploywatch.rules.language.expression import Comparison, ExpressionError, comparisons, operand, parse
from deploywatch.rules.signals.signal import Signal


def conditions_mean_something(draft: Draft) -> Iterator[Fault]:
    """Every condition of the policy."""
    for path, text in conditions(draft):
        try:
            condition = parse(text)
        except ExpressionError as error:
            yield Fault(path, str(error), error.offset)
            continue
        for comparison in comparisons(condition):
            fault = comparison_fault(draft, comparison)
            if fault is not None:
                yield Fault(path, *fault)


def observed_signals_are_known(draft: Draft) -> Iterator[Fault]:
    """Signals that are recorded without a limit."""
    observed = draft.given.get("observe")
    for position, text in enumerate(observed if isinstance(observed, list) else ()):
        if not isinstance(text, str):
            continue
        try:
            fault = _operand_fault(draft, operand(text))
        except ExpressionError as error:
            fault = str(error), error.offset
        if fault is not None:
            yield Fault(("observe", position), *fault)


def comparison_fault(draft: Draft, comparison: Comparison) -> tuple[str, int] | None:
    """What is wrong with a comparison, and at which character; None when nothing is."""
    fault = _operand_fault(draft, comparison)
    if fault is not None or _is_unreadable(draft, comparison):
        return fault
    signal = resolve(draft.signals, comparison)
    if any(draft.series.find(kind) is None for kind in signal.needs):
        return None  # declared, but not readable, which its own fault says
    message = (
        _unit(signal, comparison)
        or _limit(signal, comparison)
        or signal.refuse(draft.series, comparison.quantity.value)
    )
    return (message, comparison.quantity_offset) if message else None


def _operand_fault(draft: Draft, comparison: Comparison) -> tuple[str, int] | None:
    """What is wrong with what a comparison is about."""
    if _is_unreadable(draft, comparison):
        return None
    try:
        signal = resolve(draft.signals, comparison)
    except ExpressionError as error:
        return str(error), error.offset
    # The first alone: the rest is mostly the same key missing under another signal.
    for key in (draft.series.key(kind) for kind in signal.needs if draft.series.find(kind) is None):
        missing = f"{signal.name} needs series.{key}; add it"
        return None if key in draft.declared else (missing, comparison.signal_offset)
    if (unfit := signal.unfit(draft.series)) is not None:
        return unfit, comparison.signal_offset
    has_objective = draft.has_objective or _named(comparison)[0] in draft.objectives
    if comparison.function in {"burn_rate", "budget_left"} and not has_objective:
        message = f"{comparison.function} needs the policy's objective; add one, such as `objective: 99.9%`"
        return message, comparison.signal_offset
    return _argument_fault(draft, comparison)


def _argument_fault(draft: Draft, comparison: Comparison) -> tuple[str, int] | None:
    """What is wrong with what a function is given, each of which may be well by itself."""
    arguments = comparison.arguments
    if comparison.function == "correlation" and len({argument.text for argument in arguments}) == 1:
        return f"{comparison.signal} is of one signal, and always 1; name two", arguments[-1].offset
    if comparison.function == "burn_rate" and parse_duration(arguments[-1].text) < 12 * draft.interval:
        least, interval = format_duration(12 * draft.interval), format_duration(draft.interval)
        message = f"{arguments[-1].text} must be {least} or more: a twelfth of it must hold an interval, {interval}"
        return message, arguments[-1].offset
    return None


def _is_unreadable(draft: Draft, comparison: Comparison) -> bool:
    """Whether it names a signal of the policy's own that could not be read, which its own faults say."""
    return any(name in draft.custom and name not in draft.signals for name in _named(comparison))


def _named(comparison: Comparison) -> list[str]:
    return [argument.text for argument in comparison.arguments] or [comparison.signal]


def _unit(signal: Signal, comparison: Comparison) -> str | None:
    given, wanted = comparison.quantity.unit, signal.unit
    if given is wanted:
        return None
    # Of a bare number the unit was most likely forgotten; of another unit the signal was.
    suggestions = _suggestions(comparison.quantity.value, comparison.written, wanted) if given is Unit.COUNT else ""
    mismatch = "" if given is Unit.COUNT else f", and {comparison.written} is {_MEANING[given]}"
    return f"{signal.name} is {_MEANING[wanted]}{mismatch}; write {suggestions or f'a limit such as {wanted.example}'}"


_MEANING = {
    Unit.SECONDS: "in seconds",
    Unit.RATIO: "a ratio",
    Unit.BYTES: "in bytes",
    Unit.MONEY: "in money",
    Unit.COUNT: "a count, without a unit",
    Unit.PER_SECOND: "in events a second",
}


def _suggestions(value: Decimal, written: str, wanted: Unit) -> str:
    """What may have been meant by a bare number."""
    match wanted:
        case Unit.SECONDS:
            return f"{written}ms or {written}s"
        case Unit.RATIO:
            return f"{Quantity(value, Unit.RATIO)}" if value < 1 else f"{written}%"
        case Unit.PER_SECOND:
            return f"{written}/s or {written}/min"
        case Unit.BYTES:
            return f"{written}B or {written}MiB"
        case Unit.MONEY:
            return f"${written}"
        case Unit.COUNT:
            return written


def _limit(signal: Signal, comparison: Comparison) -> str | None:
    nothing = impossible(comparison, signal.domain)
    if nothing is None:
        return None
    low, high = signal.domain.lowest, signal.domain.highest
    ends = " and ".join(
        f"{word} {Quantity(end, signal.unit)}"
        for word, end in (("at least", low), ("at most", high))
        if end is not None
    )
    return f"{comparison} {nothing}, because {signal.name} is {ends}"
