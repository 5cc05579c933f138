"""latency_p95: the duration that 95 % of requests stay below.

An alert does not compare the quantile, because that cannot exceed the highest finite bucket. It compares the share of
requests slower than the bound, which the bucket at the bound counts exactly: more than 5 % slower is p95 above it.
Where the histogram has no bucket at the bound but one above, the interpolated quantile is compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from deploywatch.quantity import Quantity, Unit
from rules import promql
from rules.policy import Policy
from rules.series import Durations, Series
from rules.signals.signal import SHARE, Domain, Example, InputSeries, Query, Reading, Record, Signal, growing

_QUANTILE = Decimal("0.95")
_SLOWER = 1 - _QUANTILE
_EACH = Decimal(10_000)


class LatencyP95(Signal):
    """From a histogram of durations in seconds."""

    name = "latency_p95"
    title = "p95 latency"
    about = "The duration that 95 % of requests stay below, over the policy's window; no value without traffic."
    unit = Unit.SECONDS
    needs = Durations

    def refuse(self, series: Series, bound: Decimal) -> str | None:
        durations = series.of(Durations)
        highest = durations.bounds[-1]
        if bound <= highest:
            return None
        return (
            f"{durations.metric} has no bucket at or above {_shown(bound)}; its highest is {_shown(highest)}, "
            "so nobody can tell; add a bucket at the bound"
        )

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        durations, window = policy.series.of(Durations), promql.duration(policy.window)
        rate = f"rate({promql.raw(policy, durations, suffix='_bucket')}[{window}])"
        buckets = promql.recorded(policy, _buckets(policy))
        return (
            Record(
                _buckets(policy),
                promql.grouped("sum", durations, rate, {"le": "le"}),
                "requests a second up to each bound",
            ),
            Record(
                self.value(policy),
                f"histogram_quantile({_QUANTILE}, {buckets}) >= 0",
                "interpolated, for people to look at; `>= 0` leaves out the NaN of no traffic",
            ),
            *(
                Record(_share(policy, bound), _share_expression(policy, bound), _share_about(bound))
                for bound in bounds
                if bound in durations.bounds
            ),
        )

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Durations).metric}:p95_rate{promql.duration(policy.window)}"

    def reading(self, policy: Policy, limit: Quantity) -> Reading:
        bound, buckets = limit.value, policy.series.of(Durations).bounds
        if bound in buckets:
            phrase = f"{{}} of requests take longer than {_shown(bound)}"
            return Reading(_share(policy, bound), _SLOWER, Unit.RATIO, SHARE, phrase, " (5% of requests)")
        above = min(bucket for bucket in buckets if bucket > bound)
        return Reading(self.value(policy), bound, Unit.SECONDS, Domain(highest=above))

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        bounds = policy.series.of(Durations).bounds
        if reading.unit is Unit.RATIO:
            bound = next(one for one in bounds if _share(policy, one) == reading.record)
            return _histogram(policy, {bound: (1 - value) * _EACH})
        above = min(bound for bound in bounds if bound >= value)
        below = max((bound for bound in bounds if bound < value), default=Decimal(0))
        position = (value - below) / (above - below)
        if position < _QUANTILE:
            counts = {below: _EACH * (_QUANTILE - position) / (1 - position), above: _EACH}
        else:
            counts = {below: Decimal(0), above: _EACH * _QUANTILE / position}
        return _histogram(policy, {bound: count for bound, count in counts.items() if bound})

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        known = policy.series.of(Durations).bounds
        p95, at = self.value(policy), [bound for bound in bounds if bound in known]
        slow = [
            Example(
                f"1 of 10 requests takes longer than {_shown(bound)}{note}",
                _histogram(policy, _tenth_slower(known, bound), written),
                {_share(policy, bound): Decimal("0.1"), p95: _p95_of_tenth_slower(known, bound)},
            )
            for bound in at
            for written, note in ((promql.number, ""), (_as_float, f", in a bucket written {_as_float(bound)}"))
        ]
        none = dict.fromkeys([p95, *(_share(policy, bound) for bound in at)])
        return (
            *slow,
            Example("there is no traffic", _histogram(policy, {known[-1]: Decimal(0)}, each=Decimal(0)), none),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        durations, window = policy.series.of(Durations), promql.duration(policy.window)
        rate = f"rate({promql.raw(policy, durations, suffix='_bucket')}[{window}])"
        return (
            Query("p95 by instance", f"histogram_quantile({_QUANTILE}, sum by (le, instance) ({rate}))"),
            Query("Requests a second up to each bound", f"sum by (le) ({rate})"),
        )


def _buckets(policy: Policy) -> str:
    return f"{promql.level('le')}:{policy.series.of(Durations).metric}_bucket:rate{promql.duration(policy.window)}"


def _share(policy: Policy, bound: Decimal) -> str:
    window = promql.duration(policy.window)
    return f"{promql.level()}:{policy.series.of(Durations).metric}_above_{promql.bound_name(bound)}:ratio_rate{window}"


def _share_expression(policy: Policy, bound: Decimal) -> str:
    quick = promql.recorded(policy, _buckets(policy), [_le(bound)])
    every = promql.recorded(policy, _buckets(policy), [("le", "=", "+Inf")])
    return f"1\n-\nsum without (le) ({quick})\n/\n(sum without (le) ({every}) > 0)"


def _share_about(bound: Decimal) -> str:
    return f"requests that take longer than {_shown(bound)}, as a share of all; counted by the bucket at that bound"


def _le(bound: Decimal) -> tuple[str, str, str]:
    """Clients write a whole bound as `2` or `2.0`."""
    text = promql.number(bound)
    return ("le", "=", text) if "." in text else ("le", "=~", rf"{re.escape(text)}(\.0)?")


def _histogram(
    policy: Policy,
    counts: dict[Decimal, Decimal],
    written: Callable[[Decimal], str] = promql.number,
    *,
    each: Decimal = _EACH,
) -> tuple[InputSeries, ...]:
    """Buckets that grow by `counts` from sample to sample, and by `each` in the last."""
    buckets = {written(bound): count for bound, count in counts.items()} | {"+Inf": each}
    return tuple(
        growing(policy, promql.sample_series(policy, policy.series.of(Durations), suffix="_bucket", le=le), count)
        for le, count in buckets.items()
    )


def _tenth_slower(known: Sequence[Decimal], bound: Decimal) -> dict[Decimal, Decimal]:
    return {one: Decimal(0) if one < bound else _EACH * 9 / 10 if one == bound else _EACH for one in known}


def _p95_of_tenth_slower(known: Sequence[Decimal], bound: Decimal) -> Decimal:
    above = min((one for one in known if one > bound), default=None)
    return bound if above is None else (bound + above) / 2


def _as_float(bound: Decimal) -> str:
    text = promql.number(bound)
    return text if "." in text else f"{text}.0"


def _shown(seconds: Decimal) -> str:
    return str(Quantity(seconds, Unit.SECONDS))


SIGNAL = LatencyP95()
