"""What functions of signals share: the name as it is written, the signals they are made of, series for their tests."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.signals.signal import ANY, Domain, Example, Group, InputSeries, Query, Reading, Record, Signal

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Derived(Signal):
    """A function of one signal, or of several; it bears the labels of the first."""

    suffix = ""
    """What its recorded series adds to the name of the first signal's."""
    group = Group.COMPARISONS

    def __init__(
        self, written: str, parts: Sequence[Signal], *, title: str, about: str, unit: Unit, domain: Domain = ANY
    ) -> None:
        self.name, self.parts, self.title, self.about, self.unit = written, tuple(parts), title, about, unit
        self.domain, self.labels = domain, parts[0].labels
        self.needs = tuple(dict.fromkeys(kind for part in parts for kind in part.needs))

    @property
    def of(self) -> Signal:
        """The signal that it is a function of, or the first of them."""
        return self.parts[0]

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        below = [record for part in self.parts for record in part.records(policy, ())]
        return (*below, *self.own(policy))

    @abstractmethod
    def own(self, policy: Policy) -> tuple[Record, ...]:
        """What it adds to the records of its signals."""

    def value(self, policy: Policy) -> str:
        return f"{self.of.value(policy)}_{self.suffix}"

    def unfit(self, series: Series) -> str | None:
        return next((fault for part in self.parts if (fault := part.unfit(series))), None)

    def seen(self, policy: Policy) -> Policy:
        return self.of.seen(policy)

    def now(self, policy: Policy) -> str:
        """The signal as it is."""
        return promql.recorded(policy, self.of.value(policy))

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return ()

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        seen = Query(f"{self.of.title[:1].upper()}{self.of.title[1:]} itself", self.now(policy))
        return (seen, *(query for part in self.parts for query in part.diagnosis(policy)))

    def example(
        self,
        policy: Policy,
        name: str,
        values: str | Sequence[str],
        expected: Mapping[str, Decimal | str | None],
        *,
        at: timedelta,
        every: timedelta | None = None,
        more: Sequence[InputSeries] = (),
        spacing: timedelta | None = None,
        deployment: str = "",
    ) -> Example:
        """Recorded series of its signals, as if they had been measured, and what comes out."""
        given = [values] if isinstance(values, str) else values
        inputs = [recorded_series(policy, part, text) for part, text in zip(self.parts, given, strict=False)]
        numbers = {name: None if text is None else Decimal(text) for name, text in expected.items()}
        return Example(name, (*inputs, *more), numbers, every, at, spacing, deployment)


def recorded_series(policy: Policy, signal: Signal, values: str) -> InputSeries:
    """A signal's recorded series for the example that the policy holds for."""
    return InputSeries(recorded_name(policy, signal.value(policy), signal.labels), values)


def recorded_name(policy: Policy, record: str, labels: Sequence[str] = ()) -> str:
    """A recorded series of the example that the policy holds for, whose further labels all say `sample`."""
    bears = promql.sample_labels(policy) | dict.fromkeys(labels, "sample")
    return promql.recorded(policy, record, [(label, "=", text) for label, text in bears.items()])
