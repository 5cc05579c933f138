"""What an alert tells people: texts with `{service}` and `{value}`, as Prometheus templates and as they come out."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from deploywatch.config import nearest
from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.signals.signal import Reading, Signal

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NO_VALUE = "no value"


@dataclass(frozen=True, slots=True)
class Form:
    """How values of a unit are written: a pipeline of Prometheus's templates, what follows it, and the same here."""

    pipeline: str
    after: str
    render: Callable[[float], str]


def placeholders(used: Iterable[Signal]) -> frozenset[str]:
    """What the texts of an alert that uses these signals may name."""
    labels = {label for signal in used for label in signal.labels}
    return frozenset({SERVICE, ENVIRONMENT, "value", "threshold"} | labels)


def faults(text: str, known: Collection[str]) -> Iterator[tuple[str, int]]:
    """What is wrong with a text, each with the character where it stands."""
    if "{{" in text:
        yield "Prometheus templates are not written here; write {service}, {value} and the like", text.index("{{")
        return
    for match in _PLACEHOLDER.finditer(text):
        if match[1] not in known:
            yield f"unknown placeholder {match[0]!r}{nearest(match[1], known)}", match.start()


def template(policy: Policy, alert: ResolvedAlert, text: str) -> str:
    """The text as a Prometheus template."""
    known = {name: f"{{{{ $labels.{name} }}}}" for name in placeholders(term.signal for term in alert.terms)}
    return _filled(text, known | {"value": value_template(policy, alert), "threshold": threshold(alert)})


def rendered(alert: ResolvedAlert, text: str, labels: Mapping[str, str], values: Mapping[str, Decimal]) -> str:
    """The text as Prometheus will give it out, when the recorded series have these values."""
    value = _value(alert, values)
    return _filled(text, {**labels, "value": value, "threshold": threshold(alert)})


def description(alert: ResolvedAlert) -> str:
    """What the policy says, or else value and limit."""
    if alert.given.description is not None:
        return alert.given.description
    name = "" if alert.is_compound else f"{alert.terms[0].signal.title}: "
    return f"{{service}} in {{environment}}: {name}{{value}}; limit: {{threshold}}."


def threshold(alert: ResolvedAlert) -> str:
    """What the value is compared with: `> 1%`; of a compound condition, all of it."""
    if alert.is_compound:
        return str(alert.condition)
    stepping = [limit.window for limit in alert.limits]
    limits = [f"{term.comparison.operator} {term.comparison.written}{term.reading.remark}" for term in alert.terms]
    if not stepping:
        return limits[0]
    times = [f" within {window.said}" if window is not None else " otherwise" for window in stepping]
    return "; ".join(limit + time for limit, time in zip(limits, times, strict=True))


def value_template(policy: Policy, alert: ResolvedAlert) -> str:
    """The value when the alert fires, as a Prometheus template; of a compound condition, the value of every part."""
    if not alert.is_compound:
        form, phrase = form_of(alert.terms[0].reading), _phrase(alert.terms)
        return phrase.format(f"{{{{ $value | {form.pipeline} }}}}{form.after}")
    return "; ".join(_looked_up(policy, term) for term in _distinct(alert.terms))


def _looked_up(policy: Policy, term: Term) -> str:
    labels = (SERVICE, ENVIRONMENT, *term.signal.labels)
    # %q writes a label's value with its quotes; the braces around the matchers are promql.recorded's.
    series = promql.recorded(policy, term.reading.record, [(label, "=", "%q") for label in labels]).replace(
        '"%q"', "%q"
    )
    arguments = " ".join(f"$labels.{label}" for label in labels)
    form = form_of(term.reading)
    phrase = term.reading.phrase.format(f"{{{{ . | first | value | {form.pipeline} }}}}{form.after}")
    query = f"{{{{ with printf `{series}` {arguments} | query }}}}"
    return f"{term.signal.title}: {query}{phrase}{{{{ else }}}}{_NO_VALUE}{{{{ end }}}}"


def _value(alert: ResolvedAlert, values: Mapping[str, Decimal]) -> str:
    if not alert.is_compound:
        read = next((term for term in alert.terms if term.reading.record in values), alert.terms[0])
        return _told(read, values, _phrase(alert.terms))
    return "; ".join(f"{term.signal.title}: {_told(term, values)}" for term in _distinct(alert.terms))


def _told(term: Term, values: Mapping[str, Decimal], phrase: str = "") -> str:
    if term.reading.record not in values:
        return _NO_VALUE
    form = form_of(term.reading)
    return (phrase or term.reading.phrase).format(form.render(float(values[term.reading.record])) + form.after)


def _phrase(every: tuple[Term, ...]) -> str:
    """What a value means; where the limits have series of their own, in words that fit each."""
    phrases = {term.reading.phrase for term in every}
    return phrases.pop() if len(phrases) == 1 else "{} are beyond the limit"


def _distinct(every: tuple[Term, ...]) -> list[Term]:
    """One of those that read the same series."""
    return list({term.reading.record: term for term in reversed(every)}.values())[::-1]


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: known[match[1]], text)


# Prometheus calculates in floats, so that its roundings are theirs: 0.049995 is 4.999 %.


def _percentage(value: float) -> str:
    """As Prometheus's humanizePercentage writes it."""
    return f"{value * 100:.4g}%"


def _duration(value: float) -> str:
    """As Prometheus's humanizeDuration writes it."""
    if not value or abs(value) >= 1:
        return _long_duration(value)
    prefix = ""
    for smaller in "mun":
        if abs(value) >= 1:
            break
        prefix, value = smaller, value * 1000
    return f"{value:.4g}{prefix}s"


def _long_duration(value: float) -> str:
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    if whole < 60:
        return f"{sign}{abs(value):.4g}s"
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next(position for position, (count, _) in enumerate(parts) if count)
    return sign + " ".join(f"{count}{unit}" for count, unit in parts[first:])


def form_of(reading: Reading) -> Form:
    """How the values of a series are written; a count that is no whole number has its decimals."""
    fraction = reading.unit is Unit.COUNT and not reading.domain.whole
    return FRACTION if fraction else FORMS[reading.unit]


def _bytes(value: float) -> str:
    """As Prometheus's humanize1024 writes it."""
    prefix = ""
    for larger in ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"):
        prefix = larger
        if abs(value) < 1024 or larger == "Yi":
            break
        value /= 1024
    return f"{value:.4g}{prefix}"


FORMS = {
    Unit.RATIO: Form("humanizePercentage", "", _percentage),
    Unit.SECONDS: Form("humanizeDuration", "", _duration),
    Unit.COUNT: Form('printf "%.0f"', "", "{:.0f}".format),
    Unit.PER_SECOND: Form('printf "%.2f"', "/s", "{:.2f}".format),
    Unit.BYTES: Form("humanize1024", "B", _bytes),
    Unit.MONEY: Form('printf "$%.2f"', "", "${:.2f}".format),
}
"""A test renders each in Prometheus itself."""

FRACTION = Form('printf "%.2f"', "", "{:.2f}".format)
