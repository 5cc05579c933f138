"""queue_length: how many wait in a queue; one value a queue."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Queues
from deploywatch.rules.signals.signal import COUNT, Example, InputSeries, Query, Reading, Record, Signal, steady

QUEUE_ID = "queue_id"


class QueueLength(Signal):
    """Several exporters may count the same queue, so the largest count is taken, not their sum."""

    name = "queue_length"
    title = "queue length"
    about = "How many wait in a queue; one value a queue, named in the label `queue_id`."
    unit = Unit.COUNT
    needs = (Queues,)
    domain = COUNT
    labels = (QUEUE_ID,)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        queues = policy.series.of(Queues)
        longest = promql.grouped("max", queues, promql.raw(policy, queues), {QUEUE_ID: queues.queue_id})
        return (Record(self.value(policy), longest, "how many wait, as the highest of those who count sees it"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level(QUEUE_ID)}:{policy.series.of(Queues).recorded}:max"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (_queue(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return (
            Example(
                "two exporters count the same queue",
                (_queue(policy, "a", Decimal(7)), _queue(policy, "b", Decimal(9))),
                {self.value(policy): Decimal(9)},
            ),
            Example("nobody counts", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        every = promql.raw(policy, policy.series.of(Queues))
        return (
            Query("The longest queues", f"topk(10, {every})"),
            Query("Which queues grow, and how fast", f"deriv({every}[5m]) > 0"),
        )


def _queue(policy: Policy, instance: str, value: Decimal) -> InputSeries:
    queues = policy.series.of(Queues)
    return steady(policy, promql.sample_series(policy, queues, **{queues.queue_id: "sample"}, instance=instance), value)


SIGNAL = QueueLength()
