"""Kinds of signals that differ only in their series: a level, a stock's share, a quotient of counters, a rate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Measured
from deploywatch.rules.series.resources import Quotient, Stock
from deploywatch.rules.signals.signal import (
    AMOUNT,
    Domain,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
    growing,
    seconds,
    steady,
)


class Described(Signal):
    """A signal whose words are given to it."""

    def __init__(
        self,
        name: str,
        *,
        title: str,
        about: str,
        unit: Unit,
        needs: type[Measured],
        domain: Domain = AMOUNT,
        phrase: str = "{}",
    ) -> None:
        self.name, self.title, self.about = name, title, about
        self.unit, self.needs, self.domain, self.phrase = unit, (needs,), domain, phrase

    def source(self, policy: Policy) -> Measured:
        """The series that it is made of."""
        return policy.series.of(self.needs[0])

    def rate(self, policy: Policy, *, metric: str = "") -> str:
        """How fast each series grows a second, over the policy's window."""
        return f"rate({self.selected(policy, metric=metric)}[{promql.duration(policy.window)}])"

    def growth(self, policy: Policy, *, metric: str = "") -> str:
        """The same, with what counters were born with."""
        return promql.per_second(policy, self.selected(policy, metric=metric))

    def selected(self, policy: Policy, *, metric: str = "") -> str:
        """The series that count, of this metric or of the source's own."""
        return promql.raw(policy, self.source(policy), metric=metric)

    def sample(self, policy: Policy, *, metric: str = "", **labels: str) -> str:
        """One raw series of the example that the policy holds for."""
        return promql.sample_series(policy, self.source(policy), metric=metric, **labels)


class Level(Described):
    """A gauge, put together over a service's instances."""

    aggregate: Literal["sum", "avg", "max", "min"] = "sum"

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        together = promql.grouped(self.aggregate, self.source(policy), self.selected(policy))
        return (Record(self.value(policy), together, self.title),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{self.source(policy).recorded}:{self.aggregate}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (self._instance(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        two = (self._instance(policy, "a", Decimal(3)), self._instance(policy, "b", Decimal(1)))
        together = {"sum": Decimal(4), "avg": Decimal(2), "max": Decimal(3), "min": Decimal(1)}[self.aggregate]
        return (
            Example("two instances, 3 and 1", two, {self.value(policy): together}),
            Example("nobody counts", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query(f"{self.title.capitalize()} by instance", self.selected(policy)),)

    def _instance(self, policy: Policy, instance: str, value: Decimal) -> InputSeries:
        return steady(policy, self.sample(policy, instance=instance), value)


class Mean(Level):
    """A gauge, as the mean of a service's instances."""

    aggregate = "avg"


class Used(Described):
    """How much of a stock is taken, as a share; of several machines or filesystems, the fullest."""

    def stock(self, policy: Policy) -> Stock:
        """The two gauges."""
        source = self.source(policy)
        assert isinstance(source, Stock)  # noqa: S101 - for mypy: `needs` is a Stock
        return source

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        fullest = promql.grouped("max", self.stock(policy), self._share(policy))
        return (Record(self.value(policy), fullest, f"{self.title}, of the fullest"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{self.stock(policy).recorded}:used_ratio"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return self._instance(policy, "a", value)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        most = Decimal("0.75")
        two = (*self._instance(policy, "a", most), *self._instance(policy, "b", Decimal("0.25")))
        stock = self.stock(policy)
        part = steady(policy, self.sample(policy, instance="a"), Decimal(0))
        whole = steady(policy, self.sample(policy, metric=stock.total, instance="a"), Decimal(0))
        return (
            Example("two instances, 75 % and 25 % taken", two, {self.value(policy): most}),
            Example("there is nothing that could be taken", (part, whole), {self.value(policy): None}),
            Example("nobody counts", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query(f"{self.title.capitalize()} of each instance", f"topk(10, {self._share(policy)})"),)

    def _share(self, policy: Policy) -> str:
        stock = self.stock(policy)
        share = f"{self.selected(policy)} / ({self.selected(policy, metric=stock.total)} > 0)"
        return share if stock.counts == "used" else f"1 - {share}"

    def _instance(self, policy: Policy, instance: str, value: Decimal) -> tuple[InputSeries, ...]:
        stock, whole = self.stock(policy), Decimal(10_000)
        part = whole * (value if stock.counts == "used" else 1 - value)
        return (
            steady(policy, self.sample(policy, instance=instance), part),
            steady(policy, self.sample(policy, metric=stock.total, instance=instance), whole),
        )


class Ratio(Described):
    """One counter by another, over the policy's window; no value while the other stands still."""

    def quotient(self, policy: Policy) -> Quotient:
        """The two counters."""
        source = self.source(policy)
        assert isinstance(source, Quotient)  # noqa: S101 - for mypy: `needs` is a Quotient
        return source

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        quotient = self.quotient(policy)
        above = promql.grouped("sum", quotient, self.growth(policy))
        below = promql.grouped("sum", quotient, self.growth(policy, metric=quotient.per))
        about = f"{self.title}; no value while nothing is counted"
        total, _ = self.there(policy)
        return (
            Record(total, below, f"what {self.title} is a share of, a second"),
            Record(self.value(policy), f"{above}\n/\n({below} > 0)", about),
        )

    def there(self, policy: Policy) -> tuple[str, tuple[promql.Matcher, ...]]:
        per = self.quotient(policy).recorded_as(self.quotient(policy).per).removesuffix("_total")
        return f"{promql.level()}:{per}:rate{promql.duration(policy.window)}", ()

    def value(self, policy: Policy) -> str:
        quotient, window = self.quotient(policy), promql.duration(policy.window)
        per = quotient.recorded_as(quotient.per).removesuffix("_total")
        return f"{promql.level()}:{quotient.base}_per_{per}:ratio_rate{window}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return self._counters(policy, value * 10_000, Decimal(10_000))

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return (
            Example(
                "30 of 120", self._counters(policy, Decimal(30), Decimal(120)), {self.value(policy): Decimal("0.25")}
            ),
            Example("nothing is counted", self._counters(policy, Decimal(0), Decimal(0)), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        quotient = self.quotient(policy)
        return tuple(
            Query(f"`{metric}` a second by instance", f"sum by (instance) ({self.rate(policy, metric=metric)})")
            for metric in (quotient.metric, quotient.per)
        )

    def _counters(self, policy: Policy, above: Decimal, below: Decimal) -> tuple[InputSeries, ...]:
        return (
            growing(policy, self.sample(policy), above),
            growing(policy, self.sample(policy, metric=self.quotient(policy).per), below),
        )


class Flow(Described):
    """How fast a counter grows, over the policy's window, in pieces of `per`."""

    per = timedelta(seconds=1)
    operation = "rate"

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        rate = promql.grouped("sum", self.source(policy), self.growth(policy))
        times = f" * {promql.number(seconds(self.per))}" if self.per != timedelta(seconds=1) else ""
        return (Record(self.value(policy), f"{rate}{times}", self.title),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{self.source(policy).base}:{self.operation}{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (self._counter(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        two = (self._counter(policy, "a", Decimal(3)), self._counter(policy, "b", Decimal(1)))
        still = (self._counter(policy, "a", Decimal(0)),)
        return (
            Example("two instances, 3 and 1", two, {self.value(policy): Decimal(4)}),
            Example("the counter stands still", still, {self.value(policy): Decimal(0)}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query(f"{self.title.capitalize()} by instance", f"sum by (instance) ({self.rate(policy)})"),)

    def _counter(self, policy: Policy, instance: str, value: Decimal) -> InputSeries:
        each = value * seconds(policy.interval) / seconds(self.per)
        return growing(policy, self.sample(policy, instance=instance), each)


class HourlyFlow(Flow):
    """The same, an hour."""

    per = timedelta(hours=1)
    operation = "rate_per_hour"
