"""Signals that a policy defines itself: a name, a unit, PromQL, and what it must give for given series."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import promql
from deploywatch.rules.policy import CustomSignal, Policy
from deploywatch.rules.signals.signal import Domain, Example, InputSeries, Query, Reading, Record, Signal, steps

BORNE = (SERVICE, ENVIRONMENT)
"""The labels that every query must give."""


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
        kept = ", ".join((*promql.sample_labels(policy), *self.labels))
        together = f"max by ({kept}) ({self._held(policy)})"
        return (Record(self.value(policy), together, self.about),)

    def _held(self, policy: Policy) -> str:
        """The query, less what the policy's selectors leave out: each label marked, and only what bears every mark."""
        query, marks = self.given.query.strip(), "vector(1)"
        held = {name: chosen for name, chosen in policy.selectors.items() if name in {*BORNE, *self.labels}}
        for name, chosen in held.items():
            query = f'label_replace({query}, "held_{name}", "yes", "{name}", {promql.quoted(chosen.pattern)})'
            marks = f'label_replace({marks}, "held_{name}", "yes", "", "")'
        return f"{query} and on ({', '.join(f'held_{name}' for name in held)}) {marks}" if held else query

    def value(self, policy: Policy) -> str:
        return f"{promql.level(*self.labels)}:{self.name}:custom"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return ()

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return tuple(
            Example(
                example.name,
                tuple(
                    InputSeries(series, values.replace("xN", f"x{steps(policy)}"))
                    for series, values in example.series.items()
                ),
                {self.value(policy): None if example.gives is None else example.gives.value},
            )
            for example in self.given.examples
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query(f"{self.title.capitalize()}, as the policy asks for it", self.given.query.strip()),)
