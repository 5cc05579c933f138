"""Histograms of durations: what is recorded from their buckets, and buckets for tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.quantity import Quantity, Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals.signal import InputSeries, Record, growing

Written = Callable[[Decimal], str]
"""How a client writes a bound."""

# Many, so that a tenth, a thousandth and the share next to a threshold are whole numbers of requests.
EACH = Decimal(10_000)
"""How many requests a test has from sample to sample."""


def shown(seconds: Decimal) -> str:
    """A bound as people write it."""
    return str(Quantity(seconds, Unit.SECONDS))


def bucket_rate(policy: Policy, durations: Durations) -> str:
    """PromQL: how fast each raw bucket grows."""
    return f"rate({promql.raw(policy, durations, suffix='_bucket')}[{promql.duration(policy.window)}])"


# Only here is `rate` right: a quantile is interpolated between buckets, so exact counts would gain nothing.
def buckets(policy: Policy, durations: Durations) -> Record:
    """Requests a second up to each bound, by service: for quantiles, which are interpolated, and so no counts."""
    return Record(
        f"{promql.level('le')}:{durations.recorded}_bucket:rate{promql.duration(policy.window)}",
        promql.grouped("sum", durations, bucket_rate(policy, durations), {"le": "le"}),
        "requests a second up to each bound; for quantiles, which are interpolated",
    )


def every(policy: Policy, durations: Durations) -> Record:
    """All requests that the histogram knows a second, counted."""
    return _counted(policy, durations, "all", ("le", "=", "+Inf"), "requests a second, by the histogram")


def quick(policy: Policy, durations: Durations, bound: Decimal) -> Record:
    """Requests a second that took no longer than a bound at which there is a bucket, counted."""
    at = ("le", "=~", spellings(bound * durations.per_second))
    name = f"within_{promql.bound_name(bound)}"
    return _counted(policy, durations, name, at, f"requests a second that take {shown(bound)} or less")


def _counted(policy: Policy, durations: Durations, name: str, bucket: promql.Matcher, about: str) -> Record:
    counted = promql.per_second(policy, promql.raw(policy, durations, suffix="_bucket", matchers=[bucket]))
    return Record(
        f"{promql.level()}:{durations.recorded}_{name}:rate{promql.duration(policy.window)}",
        promql.grouped("sum", durations, counted),
        about,
    )


def missing(policy: Policy, durations: Durations, bound: Decimal) -> str:
    """PromQL: 1 for each service whose requests are counted, but by no bucket at a bound."""
    total, within = (record.name for record in (every(policy, durations), quick(policy, durations, bound)))
    return (
        f"group by ({SERVICE}, {ENVIRONMENT}) ({promql.recorded(policy, total)})\n"
        f"unless on ({SERVICE}, {ENVIRONMENT})\n{promql.recorded(policy, within)}"
    )


def slower(policy: Policy, durations: Durations, bound: Decimal) -> Record:
    """The share of requests that take longer than a bound at which there is a bucket."""
    total, within = (record.name for record in (every(policy, durations), quick(policy, durations, bound)))
    return Record(
        above_name(policy, durations, bound),
        # One less the quick ones, since a histogram has no bucket of the slow ones. `> 0` leaves out the 0/0 of no
        # traffic.
        f"1\n-\n{promql.recorded(policy, within)}\n/\n({promql.recorded(policy, total)} > 0)",
        f"requests that take longer than {shown(bound)}, as a share of all; counted by the bucket at that bound",
    )


def above_name(policy: Policy, durations: Durations, bound: Decimal) -> str:
    """The recorded series of the share of requests above a bound."""
    window = promql.duration(policy.window)
    return f"{promql.level()}:{durations.recorded}_above_{promql.bound_name(bound)}:ratio_rate{window}"


def counted(policy: Policy, durations: Durations, bound: Decimal) -> tuple[Record, ...]:
    """All that the share of requests above a bound is made of, and the share."""
    return every(policy, durations), quick(policy, durations, bound), slower(policy, durations, bound)


def raw_buckets(
    policy: Policy,
    durations: Durations,
    counts: Mapping[Decimal, Decimal],
    written: Written = promql.number,
    *,
    each: Decimal = EACH,
) -> tuple[InputSeries, ...]:
    """Buckets at these bounds, in seconds, that grow by `counts` from sample to sample, and by `each` in the last."""
    named = {written(bound * durations.per_second): count for bound, count in counts.items()} | {"+Inf": each}
    return tuple(
        growing(policy, promql.sample_series(policy, durations, suffix="_bucket", le=le), count)
        for le, count in named.items()
    )


def tenth_slower(known: Sequence[Decimal], bound: Decimal) -> dict[Decimal, Decimal]:
    """Buckets of which a tenth of the requests lies just above `bound`, and none below the bucket that it ends."""
    return {bucket: Decimal(0) if bucket < bound else EACH * 9 / 10 if bucket == bound else EACH for bucket in known}


def quantile_of_tenth_slower(known: Sequence[Decimal], bound: Decimal, quantile: Decimal) -> Decimal:
    """What `histogram_quantile` makes of that, for a quantile of 0.9 or more."""
    above = min((bucket for bucket in known if bucket > bound), default=bound)
    return bound + (above - bound) * (quantile - Decimal("0.9")) * 10


def as_float(bound: Decimal) -> str:
    """A bound as client_python, micrometer and OTel write it: `2.0`."""
    text = promql.number(bound)
    return text if "." in text else f"{text}.0"


def as_exponent(bound: Decimal) -> str:
    """A bound as client_golang writes one of a million or more, or below 0.0001: `1e+06`, `2.5e-05`."""
    digits, exponent = _scientific(bound)
    return f"{_pointed(digits)}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def as_java(bound: Decimal) -> str:
    """A bound as Java writes one of ten million or more, or below 0.001: `1.0E7`, `2.5E-5`."""
    digits, exponent = _scientific(bound)
    return f"{_pointed(digits) if len(digits) > 1 else f'{digits}.0'}E{exponent}"


SPELLINGS: tuple[Written, ...] = (promql.number, as_float, as_exponent, as_java)
"""How clients write one bound; tests try them all."""


def spellings(bound: Decimal) -> str:
    """A regular expression of every spelling of one number: whole, pointed, with an exponent, zeros at the end.

    Bounds are labels, and labels are compared as text: to Prometheus `1e+06` is not `1000000`.
    """
    text = promql.number(bound)
    plain = f"{re.escape(text)}0*" if "." in text else rf"{text}(\.0*)?"
    digits, exponent = _scientific(bound)
    pointed = rf"{digits[0]}\.{digits[1:]}0*" if len(digits) > 1 else rf"{digits}(\.0*)?"
    # Go writes e+06, others e6.
    sign = "-" if exponent < 0 else "[+]?"
    return f"{plain}|{pointed}[eE]{sign}0*{abs(exponent)}"


def _scientific(bound: Decimal) -> tuple[str, int]:
    """The digits that count, and the exponent of the first."""
    _, digits, exponent = bound.normalize().as_tuple()
    return "".join(map(str, digits)), int(exponent) + len(digits) - 1


def _pointed(digits: str) -> str:
    return f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
