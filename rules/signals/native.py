"""Native histograms of durations: what is recorded from them, and histograms for tests.

A native histogram has many buckets whose bounds the client chooses; a share above a bound is reckoned within the bucket
that the bound lies in. Nothing is counted, and births are not seen: `rate` says how fast it grows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals.histogram import EACH, above_name, shown
from deploywatch.rules.signals.signal import InputSeries, Record, steps


def rate(policy: Policy, durations: Durations, *, by: str = "") -> str:
    """PromQL: the native histogram of a second, of each service, or by another label."""
    grows = f"rate({promql.raw(policy, durations)}[{promql.duration(policy.window)}])"
    return f"sum by ({by}) ({grows})" if by else promql.grouped("sum", durations, grows)


def slower(policy: Policy, durations: Durations, bound: Decimal) -> Record:
    """The share of requests that take longer than a bound."""
    # Interpolated within a bucket, as it must be: a native histogram has no bucket at the bound.
    quick = f"histogram_fraction(0, {promql.number(bound * durations.per_second)}, {rate(policy, durations)})"
    return Record(
        above_name(policy, durations, bound),
        f"1 - {quick} >= 0",
        f"requests that take longer than {shown(bound)}, as a share of all; `>= 0` leaves out the NaN of no traffic",
    )


def bound_of(record: str) -> Decimal:
    """The bound, in seconds, that a recorded share is named after."""
    number, unit = re.findall(r"_above_(\d+)(s|ms|us):", record)[0]
    return Decimal(number) / {"s": 1, "ms": 1000, "us": 1_000_000}[unit]


def raw(
    policy: Policy, durations: Durations, bound: Decimal, slow: Decimal, *, each: Decimal = EACH
) -> tuple[InputSeries, ...]:
    """A native histogram that grows by `each` from sample to sample, a share of them far above the bound."""
    power = math.log2(float(bound * durations.per_second))
    first, last = math.floor(power) - 3, math.ceil(power) + 3
    return (series(policy, durations, [(1 - slow) * each, *[Decimal(0)] * (last - first - 1), slow * each], first),)


def series(
    policy: Policy, durations: Durations, counts: Sequence[Decimal], first: int = 0, total: Decimal = Decimal(0)
) -> InputSeries:
    """A native histogram of powers of two, its first bucket up to 2 to the power of `first`, as promtool writes it."""

    def written(times: int) -> str:
        buckets = " ".join(promql.number(count * times) for count in counts)
        sample = f"sum:{promql.number(total * times)} count:{promql.number(sum(counts, Decimal(0)) * times)}"
        return f"{{{{schema:0 {sample} offset:{first} buckets:[{buckets}]}}}}"

    return InputSeries(promql.sample_series(policy, durations), f"{written(0)}+{written(1)}x{steps(policy)}")
