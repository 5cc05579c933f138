"""latency_mean: how long a request takes on average."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals import native
from deploywatch.rules.signals.signal import Example, InputSeries, Query, Reading, Record, Signal, growing


class LatencyMean(Signal):
    """From a histogram's `_sum` and `_count`; exact, but it hides the few that are slow."""

    name = "latency_mean"
    title = "mean latency"
    about = "How long a request takes on average, over the policy's window; no value without traffic."
    unit = Unit.SECONDS
    needs = (Durations,)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        durations = policy.series.of(Durations)
        if durations.native:
            return (self._native(policy, durations),)
        total, count = (
            promql.grouped("sum", durations, promql.per_second(policy, promql.raw(policy, durations, suffix=suffix)))
            for suffix in ("_sum", "_count")
        )
        in_seconds = f" / {durations.per_second}" if durations.per_second != 1 else ""
        # The sum has the client's unit; the count has none.
        expression = f"{total}{in_seconds}\n/\n({count} > 0)"
        return (Record(self.value(policy), expression, "seconds a request; no value without traffic"),)

    def _native(self, policy: Policy, durations: Durations) -> Record:
        rate = native.rate(policy, durations)
        in_seconds = f" / {durations.per_second}" if durations.per_second != 1 else ""
        expression = f"histogram_sum({rate}){in_seconds}\n/\n(histogram_count({rate}) > 0)"
        return Record(self.value(policy), expression, "seconds a request; no value without traffic")

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Durations).recorded}:mean_rate{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return _counters(policy, value * 1000, Decimal(1000))

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        none = _counters(policy, Decimal(0), Decimal(0))
        return (
            Example(
                "10 requests take 3 s", _counters(policy, Decimal(3), Decimal(10)), {self.value(policy): Decimal("0.3")}
            ),
            Example("there is no traffic", none, {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        if policy.series.of(Durations).native:
            rate = native.rate(policy, policy.series.of(Durations), by="instance")
            return (Query("Mean latency by instance", f"histogram_sum({rate}) / histogram_count({rate})"),)
        total, count = _rate(policy, "_sum"), _rate(policy, "_count")
        return (Query("Mean latency by instance", f"sum by (instance) ({total}) / sum by (instance) ({count})"),)


def _rate(policy: Policy, suffix: str) -> str:
    return f"rate({promql.raw(policy, policy.series.of(Durations), suffix=suffix)}[{promql.duration(policy.window)}])"


def _counters(policy: Policy, seconds: Decimal, count: Decimal) -> tuple[InputSeries, ...]:
    durations = policy.series.of(Durations)
    if durations.native:
        return (native.series(policy, durations, [count], total=seconds * durations.per_second),)
    each = {"_sum": seconds * durations.per_second, "_count": count}
    return tuple(
        growing(policy, promql.sample_series(policy, durations, suffix=suffix), by) for suffix, by in each.items()
    )


SIGNAL = LatencyMean()
