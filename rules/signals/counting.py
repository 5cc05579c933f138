"""Count queries: the requests that counters added within one look, and the bad ones among them, whole numbers.

Of each series the last value of the look is compared with the last one before it, so that looks which follow each other
count every request once: what came in before a target went away, too, and, after a scrape gap of at most an hour,
all that came in meanwhile. A value that fell at any sample of the look was a reset, and counts from 0; of a histogram
all buckets do where one of them fell, since they are one process's. A series that is new counts from 0 where its target
was up before; a new target's first scrape is where counting begins, since nobody knows how old it is.
`rate` and `increase` extrapolate to fractions, and see no births.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import promql
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.policy import Policy
from deploywatch.rules.promql import Matcher
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Control, Measured, Requests
from deploywatch.rules.signals import histogram
from deploywatch.rules.signals.service import error_ratio, latency
from deploywatch.verdict.plan_parts import Counts

Role = Literal["new", "old", "whole"]
"""Whose requests: the new version's, the old one's, or those of the whole service."""

# Prometheus's own staleness (`--query.lookback-delta`), beyond which a series is gone to every query.
NEWEST = timedelta(minutes=5)
"""How old the newest sample of a series may be; older, and the series is gone."""
# A restart or a gap of the scrape is shorter; remembered for a day, each look would read a day of samples.
KNOWN = timedelta(hours=1)
"""For how long a series is remembered, so that what comes back after a gap is not taken for new."""
WORSE = "rise"


def source(policy: Policy, comparison: Comparison) -> Requests | Durations | None:
    """The series whose requests a limit counts; None where it is no limit on a share of requests."""
    name = comparison.arguments[0].text if comparison.function == WORSE else comparison.signal
    if name == error_ratio.SIGNAL.name:
        return policy.series.requests
    if name in (latency.P95.name, latency.P99.name) and not comparison.function:
        return policy.series.durations
    return None


def counts(policy: Policy, comparison: Comparison, role: Role, look: timedelta) -> Counts:
    """The queries of one role for a limit; its series must be there."""
    series = source(policy, comparison)
    if isinstance(series, Requests):
        matchers = _of_role(series.control, role)
        every = _added(policy, series, look, matchers)
        bad = _added(policy, series, look, [*matchers, (series.status, "=~", series.errors)])
        # Of a version that never failed there is no such series, and 0 is meant.
        return Counts(requests=every, bad=f"({bad}) or ({every}) * 0")
    if isinstance(series, Durations):
        matchers, bound = _of_role(series.control, role), comparison.quantity.value
        within, all_of_them = histogram.spellings(bound * series.per_second), r"\+Inf"
        both = [*matchers, ("le", "=~", f"{within}|{all_of_them}")]
        every = _added(policy, series, look, [*matchers, ("le", "=", "+Inf")], both)
        quick = _added(policy, series, look, [*matchers, ("le", "=~", within)], both)
        return Counts(requests=every, bad=f"({every}) - ({quick})")
    raise ValueError(f"{comparison} is no limit on a share of requests")


def _of_role(control: Control | None, role: Role) -> list[Matcher]:
    if control is None or role == "whole":
        return []
    if control.new is not None and control.old is not None:
        return [(control.label, "=", control.new if role == "new" else control.old)]
    # Where both are told by version, everything that is not the new one is the control.
    return [(control.label, "=" if role == "new" else "!=", "$version")]


def _added(
    policy: Policy, counters: Measured, look: timedelta, matchers: Sequence[Matcher], together: Sequence[Matcher] = ()
) -> str:
    """What the series' counters added within a look, as one number; no value where there is no series.

    `together` selects buckets of which one that was reset tells of all.
    """
    series = _selected(policy, counters, matchers)
    now = f"last_over_time({series}[{promql.duration(NEWEST)}])"
    before = _before(series, look)
    reset = (
        f"ignoring (le) ({_reset(_selected(policy, counters, together), look)})"
        if together
        else f"({_reset(series, look)})"
    )
    # What was reset counts from 0. What is there, and nobody knows more of, adds nothing; that is not the same as no
    # series. Neither is estimated, as `rate` does: counts stay whole numbers, and looks that follow each other tile.
    rest = f"({now} and {before})\nor\n{now} * 0"
    return f"sum({promql.added(policy, look, KNOWN, last=now, before=before, rest=rest, unless=reset)})"


def _selected(policy: Policy, counters: Measured, matching: Sequence[Matcher]) -> str:
    """The counters of the service and environment that a verdict is about, whose names are filled in later."""
    suffix = "_bucket" if isinstance(counters, Durations) else ""
    target = [(theirs, "=", f"${ours}") for ours, theirs in counters.labels.borne.items()]
    return promql.raw(policy, counters, suffix=suffix, matchers=[*target, *matching], without=(SERVICE, ENVIRONMENT))


def _before(series: str, look: timedelta) -> str:
    return f"last_over_time({series}[{promql.duration(KNOWN)}] offset {promql.duration(look)})"


def _reset(series: str, look: timedelta) -> str:
    """Which series fell within the look, though they may since have grown beyond what they were before it: a process
    that starts again and again would else show its errors and none of its requests, or the other way round."""
    within = f"{series}[{promql.duration(look)}]"
    return f"resets({within}) > 0 or min_over_time({within}) < {_before(series, look)}"
