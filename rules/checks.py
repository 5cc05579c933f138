"""What a policy must fulfil beyond its form; each check reads what it needs, so that one fault hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from deploywatch.config import nearest
from deploywatch.document import Path
from deploywatch.quantity import Quantity, Unit, format_duration, parse_duration
from rules import wording
from rules.expression import Comparison, Condition, ExpressionError, comparisons, parse
from rules.policy import Policy
from rules.series import Series
from rules.signals import SIGNALS
from rules.signals.signal import Signal
from rules.terms import impossible


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a key path; `offset` is the character of the value's text, when it is one."""

    path: Path
    message: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read of a policy, whatever else is wrong with it."""

    interval: timedelta
    window: timedelta
    series: Series
    declared: frozenset[str]
    """The keys under `series`; one that is declared but could not be read is missing from `series` only."""
    sources: frozenset[str] | None
    alerts: tuple[Mapping[str, Any], ...]


Check = Callable[[Draft], Iterator[Fault]]


def draft(data: Any) -> Draft:
    """Read what can be read."""
    given = data if isinstance(data, dict) else {}
    series = given.get("series")
    series = series if isinstance(series, dict) else {}
    sources, alerts = given.get("sources"), given.get("alerts")
    return Draft(
        interval=_duration(given.get("interval"), Policy.model_fields["interval"].default),
        window=_duration(given.get("window"), Policy.model_fields["window"].default),
        series=_series(series),
        declared=frozenset(series),
        sources=frozenset(sources) if isinstance(sources, dict) else None,
        alerts=tuple(alert if isinstance(alert, dict) else {} for alert in alerts) if isinstance(alerts, list) else (),
    )


def window_holds_two_samples(found: Draft) -> Iterator[Fault]:
    """A rate needs two samples."""
    if found.window < 2 * found.interval:
        window, interval = format_duration(found.window), format_duration(found.interval)
        yield Fault(("window",), f"{window} must be at least twice the interval, {interval}, or rates have no value")


def names_are_single(found: Draft) -> Iterator[Fault]:
    """Two alerts of one name could not be told apart."""
    seen: dict[str, int] = {}
    for position, alert in enumerate(found.alerts):
        name = alert.get("alert")
        if isinstance(name, str) and name in seen:
            first = f"alerts[{seen[name]}]"
            yield Fault(("alerts", position, "alert"), f"{name} is the name of {first} too; give each its own")
        elif isinstance(name, str):
            seen[name] = position


def sources_are_known(found: Draft) -> Iterator[Fault]:
    """Every threshold comes from a source that the policy names."""
    for position, alert in enumerate(found.alerts):
        cited = alert.get("source")
        for name in cited if isinstance(cited, dict) and found.sources is not None else ():
            if name not in (found.sources or ()):
                message = f"unknown source {name!r}{nearest(name, found.sources or ())}"
                yield Fault(("alerts", position, "source", name), message)


def waits_are_evaluations(found: Draft) -> Iterator[Fault]:
    """A `for` shorter than the interval is no wait at all."""
    for position, alert in enumerate(found.alerts):
        wait = _duration(alert.get("for"), timedelta(0))
        if timedelta(0) < wait < found.interval:
            message = (
                f"{format_duration(wait)} is shorter than the interval, {format_duration(found.interval)}, "
                "so it cannot be kept; make it longer, or leave it out to fire at once"
            )
            yield Fault(("alerts", position, "for"), message)


def conditions_mean_something(found: Draft) -> Iterator[Fault]:
    """Known signals, right units, series to read them from, and limits that can be passed."""
    for position, alert in enumerate(found.alerts):
        path, text = ("alerts", position, "when"), alert.get("when")
        if not isinstance(text, str):
            continue
        try:
            condition = parse(text)
        except ExpressionError as error:
            yield Fault(path, str(error), error.offset)
            continue
        for comparison in comparisons(condition):
            fault = _comparison(found, comparison)
            if fault is not None:
                yield Fault(path, *fault)


def texts_can_be_filled(found: Draft) -> Iterator[Fault]:
    """Summary and description name only what the alert has."""
    for position, alert in enumerate(found.alerts):
        known = wording.placeholders(_readable(alert.get("when")))
        for key in ("summary", "description"):
            text = alert.get(key)
            for message, offset in wording.faults(text, known) if isinstance(text, str) else ():
                yield Fault(("alerts", position, key), message, offset)


CHECKS: tuple[Check, ...] = (
    window_holds_two_samples,
    names_are_single,
    sources_are_known,
    waits_are_evaluations,
    conditions_mean_something,
    texts_can_be_filled,
)


def _comparison(found: Draft, comparison: Comparison) -> tuple[str, int] | None:
    signal = SIGNALS.get(comparison.signal)
    if signal is None:
        return f"unknown signal {comparison.signal!r}{nearest(comparison.signal, SIGNALS)}", comparison.signal_offset
    key = found.series.key(signal.needs)
    if found.series.find(signal.needs) is None:
        missing = f"{signal.name} needs series.{key}; add it"
        return None if key in found.declared else (missing, comparison.signal_offset)
    message = (
        _unit(signal, comparison)
        or _limit(signal, comparison)
        or signal.refuse(found.series, comparison.quantity.value)
    )
    return (message, comparison.quantity_offset) if message else None


def _unit(signal: Signal, comparison: Comparison) -> str | None:
    given, wanted = comparison.quantity.unit, signal.unit
    if given is wanted:
        return None
    suggestions = _suggestions(comparison.quantity.value, comparison.written, wanted) if given is Unit.COUNT else ""
    said = "" if given is Unit.COUNT else f", and {comparison.written} is {_MEANING[given]}"
    return f"{signal.name} is {_MEANING[wanted]}{said}; write {suggestions or f'a limit such as {wanted.example}'}"


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


def _readable(text: Any) -> Condition | None:
    try:
        return parse(text) if isinstance(text, str) else None
    except ExpressionError:
        return None


def _duration(value: Any, default: timedelta) -> timedelta:
    try:
        return default if value is None else parse_duration(value)
    except ValueError:
        return default


def _series(given: Mapping[str, Any]) -> Series:
    readable = Series()
    for key in Series.model_fields.keys() & given.keys():
        try:
            readable = Series.model_validate({**dict(readable), key: given[key]})
        except ValidationError:
            continue
    return readable
