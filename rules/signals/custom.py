"""Signals that a policy defines itself: a name, a unit, PromQL, and what it must give for given series."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.rules import promql
from deploywatch.rules.policy import CustomSignal, Policy
from deploywatch.rules.signals.signal import Domain, Example, InputSeries, Query, Reading, Record, Signal, steps


class Custom(Signal):
    """What the policy says; of several values for one service the highest counts."""

    needs = ()

    def __init__(self, name: str, given: CustomSignal) -> None:
        self.name, self.given = name, given
        self.title = given.title or name.replace("_", " ")
        self.about = given.about
        self.unit, self.labels = given.unit, given.labels
        low = given.at_least.value if given.at_least is not None else None
        high = given.at_most.value if given.at_most is not None else None
        self.domain = Domain(low, high, given.whole)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        together = f"max by ({', '.join((*promql.sample_labels(policy), *self.labels))}) ({self.given.query.strip()})"
        return (Record(self.value(policy), together, self.about),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level(*self.labels)}:{self.name}:custom"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return ()

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return tuple(
            Example(
                one.name,
                tuple(
                    InputSeries(series, values.replace("xN", f"x{steps(policy)}"))
                    for series, values in one.series.items()
                ),
                {self.value(policy): None if one.gives is None else one.gives.value},
            )
            for one in self.given.examples
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query(f"{self.title.capitalize()}, as the policy asks for it", self.given.query.strip()),)
