"""latency_p95, latency_p99, latency_max: the duration that 95 %, 99 % or all requests stay below.

An alert does not compare the quantile, because that cannot exceed the highest finite bucket. It compares the share of
requests slower than the bound, which the bucket at the bound counts exactly: more than 5 % slower is p95 above it.
Where the histogram has no bucket at the bound but one above, the interpolated quantile is compared; of a native
histogram, the share that it reckons; of a summary, the quantile that the slowest instance's client gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from deploywatch.quantity import Quantity, Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.signals import histogram, native, summary
from deploywatch.rules.signals.histogram import EACH, shown
from deploywatch.rules.signals.signal import AMOUNT, SHARE, Domain, Example, InputSeries, Query, Reading, Record, Signal


class LatencyQuantile(Signal):
    """From a histogram; the quantile of 1 is the bound that nothing exceeded."""

    unit = Unit.SECONDS

    def __init__(
        self, name: str, quantile: Decimal, *, title: str, of: str = "requests", needs: type[Durations] = Durations
    ) -> None:
        self.name, self.title, self.quantile, self.of = name, title, quantile, of
        self.kind, self.needs = needs, (needs,)
        share = "all" if quantile == 1 else f"{promql.number(quantile * 100)} % of"
        traffic = "traffic" if of == "requests" else "any"
        self.about = f"The duration that {share} {of} stay below, over the policy's window; no value without {traffic}."

    @property
    def slower(self) -> Decimal:
        """The share that may be slower than the bound."""
        return 1 - self.quantile

    def unfit(self, series: Series) -> str | None:
        durations = series.find(self.kind)
        if durations is None or durations.bounds:
            return None
        if durations.native:
            return None if self.slower else f"{durations.metric} is a native histogram, which has no longest duration"
        if durations.quantiles is not None:
            if self.quantile in durations.quantiles:
                return None
            known = ", ".join(map(promql.number, durations.quantiles))
            return f"{durations.metric} is a summary with the quantiles {known}; {self.name} needs {self.quantile}"
        return (
            f"{durations.metric} has no buckets, of which {self.name} is made; add them, or a summary's `quantiles`, "
            "or `native: true`, or ask for latency_mean"
        )

    def refuse(self, series: Series, bound: Decimal) -> str | None:
        durations = series.of(self.kind)
        if not durations.bounds:
            return None
        highest = durations.bounds[-1]
        # Above the highest bucket histogram_quantile answers with that bucket's bound, and the alert could never fire.
        if bound > highest:
            return (
                f"{durations.metric} has no bucket at or above {shown(bound)}; its highest is {shown(highest)}, "
                "so nobody can tell; add a bucket at the bound"
            )
        # "The longest" cannot be interpolated: between two buckets it may be anywhere.
        if not self.slower and bound not in durations.bounds:
            return f"{durations.metric} has no bucket at {shown(bound)}, which {self.name} needs; add one"
        return None

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        durations = policy.series.of(self.kind)
        if durations.quantiles is not None:
            return (summary.slowest(policy, durations, self.quantile, self.value(policy)),)
        if durations.native:
            shares = (native.slower(policy, durations, bound) for bound in bounds)
            return (self._interpolated(policy, native.rate(policy, durations)), *shares)
        every = histogram.buckets(policy, durations)
        return (
            every,
            self._interpolated(policy, promql.recorded(policy, every.name)),
            *(
                record
                for bound in bounds
                if bound in durations.bounds
                for record in histogram.counted(policy, durations, bound)
            ),
        )

    def _interpolated(self, policy: Policy, of: str) -> Record:
        per_second = policy.series.of(self.kind).per_second
        in_seconds = f" / {per_second}" if per_second != 1 else ""
        return Record(
            self.value(policy),
            # Divided afterwards: bounds are labels, and stay in the source's unit.
            f"histogram_quantile({self.quantile}, {of}){in_seconds} >= 0",
            "interpolated, for people to look at; `>= 0` leaves out the NaN of no traffic",
        )

    def there(self, policy: Policy) -> tuple[str, tuple[promql.Matcher, ...]]:
        if not policy.series.of(self.kind).bounds:
            return self.value(policy), ()
        return histogram.buckets(policy, policy.series.of(self.kind)).name, (("le", "=", "+Inf"),)

    def value(self, policy: Policy) -> str:
        word = self.name.removeprefix("db_").removeprefix("latency_")
        return f"{promql.level()}:{policy.series.of(self.kind).recorded}:{word}_rate{promql.duration(policy.window)}"

    def reading(self, policy: Policy, limit: Quantity) -> Reading:
        durations, bound = policy.series.of(self.kind), limit.value
        if durations.quantiles is not None:
            return Reading(self.value(policy), bound, Unit.SECONDS, AMOUNT)
        if durations.native or bound in durations.bounds:
            phrase = f"{{}} of {self.of} take longer than {shown(bound)}"
            remark = f" ({promql.number(self.slower * 100)}% of {self.of})" if self.slower else ""
            record = histogram.slower(policy, durations, bound).name
            return Reading(record, self.slower, Unit.RATIO, SHARE, phrase, remark)
        # Off the buckets only the interpolated value is there, which is never more than the next bound.
        above = min(bucket for bucket in durations.bounds if bucket > bound)
        return Reading(self.value(policy), bound, Unit.SECONDS, Domain(highest=above))

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        durations = policy.series.of(self.kind)
        bounds = durations.bounds
        if durations.quantiles is not None:
            return (summary.raw(policy, durations, self.quantile, value),)
        if durations.native:
            return native.raw(policy, durations, native.bound_of(reading.record), value)
        if reading.unit is Unit.RATIO:
            bound = next(limit for limit in bounds if histogram.slower(policy, durations, limit).name == reading.record)
            return histogram.raw_buckets(policy, durations, {bound: (1 - value) * EACH})
        above = min(bound for bound in bounds if bound >= value)
        below = max((bound for bound in bounds if bound < value), default=Decimal(0))
        # The counts for which Prometheus's own interpolation comes out at exactly this value.
        position = (value - below) / (above - below)
        if position < self.quantile:
            counts = {below: EACH * (self.quantile - position) / (1 - position), above: EACH}
        else:
            counts = {below: Decimal(0), above: EACH * self.quantile / position}
        return histogram.raw_buckets(policy, durations, {bound: count for bound, count in counts.items() if bound})

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        durations = policy.series.of(self.kind)
        if not durations.bounds:
            return (*self._examples_of_others(policy, bounds), Example("no series", (), {self.value(policy): None}))
        known = durations.bounds
        quantile, at = self.value(policy), [bound for bound in bounds if bound in known]
        shares = {bound: histogram.slower(policy, durations, bound).name for bound in at}
        slow = [
            Example(
                f"1 of 10 {self.of} takes longer than {shown(bound)}{note}",
                histogram.raw_buckets(policy, durations, histogram.tenth_slower(known, bound), written),
                {
                    shares[bound]: Decimal("0.1"),
                    quantile: histogram.quantile_of_tenth_slower(known, bound, self.quantile),
                },
            )
            for bound in at
            for written in histogram.SPELLINGS
            for note in (
                f", in a bucket written {written(bound * durations.per_second)}"
                if written is not promql.number
                else "",
            )
        ]
        still = histogram.raw_buckets(policy, durations, {known[-1]: Decimal(0)}, each=Decimal(0))
        none = dict.fromkeys([quantile, *shares.values()])
        return (*slow, *self._quantile_alone(policy, at), Example("there is no traffic", still, none))

    def _quantile_alone(self, policy: Policy, at: Sequence[Decimal]) -> tuple[Example, ...]:
        """Where no limit is a bucket's bound, what is interpolated is tried by itself."""
        if at:
            return ()
        durations = policy.series.of(self.kind)
        bound = durations.bounds[0]
        made = histogram.raw_buckets(policy, durations, histogram.tenth_slower(durations.bounds, bound))
        quantile = histogram.quantile_of_tenth_slower(durations.bounds, bound, self.quantile)
        return (Example(f"1 of 10 {self.of} takes longer than {shown(bound)}", made, {self.value(policy): quantile}),)

    def _examples_of_others(self, policy: Policy, bounds: Sequence[Decimal]) -> Iterator[Example]:
        """Of a summary, its instances; of a native histogram, the shares above each bound."""
        durations = policy.series.of(self.kind)
        if durations.quantiles is not None:
            two = tuple(
                summary.raw(policy, durations, self.quantile, Decimal(seconds), instance=name)
                for name, seconds in (("a", 3), ("b", 1))
            )
            yield Example("two instances, 3 s and 1 s", two, {self.value(policy): Decimal(3)})
        for bound in bounds if durations.native else ():
            made = native.raw(policy, durations, bound, Decimal("0.1"))
            shares = {native.slower(policy, durations, bound).name: Decimal("0.1")}
            yield Example(f"1 of 10 {self.of} takes longer than {shown(bound)}", made, shares)

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        durations = policy.series.of(self.kind)
        if durations.quantiles is not None:
            each = f"topk(10, {summary.each(policy, durations, self.quantile)})"
            return (Query(f"{self.title} by instance", each),)
        if durations.native:
            by_instance = native.rate(policy, durations, by="instance")
            return (Query(f"{self.title} by instance", f"histogram_quantile({self.quantile}, {by_instance})"),)
        rate = histogram.bucket_rate(policy, durations)
        word = self.name.removeprefix("db_").removeprefix("latency_")
        return (
            Query(f"{word} by instance", f"histogram_quantile({self.quantile}, sum by (le, instance) ({rate}))"),
            Query(f"{self.of.capitalize()} a second up to each bound", f"sum by (le) ({rate})"),
        )


P95 = LatencyQuantile("latency_p95", Decimal("0.95"), title="p95 latency")
P99 = LatencyQuantile("latency_p99", Decimal("0.99"), title="p99 latency")
MAX = LatencyQuantile("latency_max", Decimal(1), title="longest latency")
SIGNALS = (P95, P99, MAX)
