"""A signal of a part of its series: `canary(error_ratio)`, or an alert's `only`, `excluding`, `role` and `window`.

A view is the signal itself in a policy whose series are fewer, and whose recorded names say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Quantity, format_duration
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.language.parts import Part
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.series.requests import Measured, Requests
from deploywatch.rules.signals.custom import Custom
from deploywatch.rules.signals.signal import Example, InputSeries, Query, Reading, Record, Signal

OTHER = {"canary": "stable", "stable": "canary"}


class View(Derived):
    """The same signal, of fewer series or over another window; the whole is recorded beside it."""

    def __init__(self, of: Signal, part: Part, *, name: str, called: str) -> None:
        words = said_of(part)
        super().__init__(
            name,
            (of,),
            title=f"{of.title} {words}",
            about=f"{of.about.rstrip('.')}; {words}.",
            unit=of.unit,
            domain=of.domain,
        )
        self.part, self.called, self.phrase = part, called, of.phrase

    def seen(self, policy: Policy) -> Policy:
        """The policy, with the part of the series that counts, and the window."""
        window = self.part.window or policy.window
        keyed = {policy.series.key(kind): policy.series.of(kind) for kind in self.of.needs}
        series = {key: chosen(source, self.part, self.called) for key, source in keyed.items()}
        own = policy.model_copy(update={"series": policy.series.model_copy(update=series), "window": window})
        return self.of.seen(own)

    def unfit(self, series: Series) -> str | None:
        """Why these series have no such part; None where they have."""
        # Its query is text of the policy's author; matchers cannot be put into that with certainty.
        if isinstance(self.of, Custom):
            return f"{self.of.name} is a query of the policy's own; choose its series there"
        for kind in self.of.needs:
            source = series.find(kind)
            if source is None:
                continue
            try:
                chosen(source, self.part, self.called)
            except DeploywatchError as error:
                return f"series.{series.key(kind)} {error}"
        return self.of.unfit(series)

    def refuse(self, series: Series, bound: Decimal) -> str | None:
        return self.unfit(series) or self.of.refuse(series, bound)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        beside = self._beside()
        return (
            # The whole signal as well: whoever looks at the part asks at once how all of it is.
            *self.of.records(policy, ()),
            *self.of.records(self.seen(policy), bounds),
            *(beside.of.records(beside.seen(policy), bounds) if beside else ()),
        )

    def own(self, policy: Policy) -> tuple[Record, ...]:
        return ()

    def value(self, policy: Policy) -> str:
        return self.of.value(self.seen(policy))

    def reading(self, policy: Policy, limit: Quantity) -> Reading:
        return self.of.reading(self.seen(policy), limit)

    def there(self, policy: Policy) -> tuple[str, tuple[promql.Matcher, ...]]:
        return self.of.there(self.seen(policy))

    def beside(self, policy: Policy) -> Mapping[str, str]:
        other = self._beside()
        return {str(other.part.role): other.value(policy)} if other else {}

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return self.of.raw(self.seen(policy), reading, value)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return self.of.examples(self.seen(policy), bounds)

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        own = self.of.diagnosis(self.seen(policy))
        beside = tuple(
            Query(f"{self.of.title.capitalize()} of {role}, beside it", promql.recorded(policy, record))
            for role, record in self.beside(policy).items()
        )
        return (*beside, *own)

    def _beside(self) -> View | None:
        """The same signal of the other role."""
        if self.part.role is None:
            return None
        other = OTHER[self.part.role]
        called = re.sub(rf"^{self.part.role}", other, self.called)
        return View(
            self.of, self.part.model_copy(update={"role": other}), name=f"{other}({self.of.name})", called=called
        )


def plain(signal: Signal) -> Signal:
    """The signal that a view is of, or the signal itself."""
    return signal.of if isinstance(signal, View) else signal


def said_of(part: Part) -> str:
    """The part in words."""
    labels = {label: " or ".join(values) for label, values in (part.only or {}).items()}
    words = [f"of {part.role}"] if part.role else []
    words += [f"with {label} {values}" for label, values in labels.items()]
    words += [f"without {label} {pattern}" for label, pattern in (part.excluding or {}).items()]
    words += [f"over {format_duration(part.window)}"] if part.window else []
    return " ".join(words)


def chosen(source: Measured, part: Part, called: str) -> Measured:
    """The source's series that belong to the part, under recorded names that say so.

    Raises DeploywatchError where the source knows no such role, or nothing can be left.
    """
    only, excluding = dict(source.counted), dict(source.excluded)
    if part.role is not None:
        control = source.control if isinstance(source, Requests | Durations) else None
        value = {"canary": control.new, "stable": control.old}[part.role] if control else None
        if control is None or value is None:
            raise DeploywatchError(
                f"has no series of {part.role}: it needs a control such as "
                "{label: deployment, new: canary, old: stable}"
            )
        only[control.label] = (value,)
    for label, values in (part.only or {}).items():
        both = tuple(value for value in values if label not in only or value in only[label])
        if not both:
            raise DeploywatchError(f"counts only {label} {' or '.join(only[label])}, so that nothing is left")
        only[label] = both
    for label, pattern in (part.excluding or {}).items():
        # In brackets, as `|` binds weaker than anything within the two.
        excluding[label] = f"({excluding[label]})|({pattern})" if label in excluding else pattern
    for label, values in only.items():
        left = tuple(value for value in values if not (label in excluding and re.fullmatch(excluding[label], value)))
        if not left:
            raise DeploywatchError(f"leaves out every {label} that counts, so that nothing is left")
        only[label] = left
    own = source.model_copy(update={"only": only or None, "excluding": excluding or None})
    # A window alone needs no name of its own: it stands in the record's name anyway.
    own.call(source.called, called if part.role or part.only or part.excluding else "")
    return own


def of_alert(signal: Signal, part: Part, alert: str) -> Signal:
    """The signal as an alert sees it; itself, where the alert says nothing of its series."""
    if all(getattr(part, key) is None for key in Part.model_fields):
        return signal
    words = "_".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", alert)).lower()
    called = f"{part.role}_{words}" if part.role else words
    return View(signal, part, name=f"{signal.name} {said_of(part)}", called=called)


def canary(written: str, parts: Sequence[Signal], _: Sequence[object]) -> Signal:
    """A signal of the new version's series."""
    return View(parts[0], Part(role="canary"), name=written, called="canary")


def stable(written: str, parts: Sequence[Signal], _: Sequence[object]) -> Signal:
    """A signal of the old version's series, at the same moments."""
    return View(parts[0], Part(role="stable"), name=written, called="stable")
