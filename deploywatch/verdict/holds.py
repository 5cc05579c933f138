"""Reasons not to promote: gaps, watches, a share that is not as planned, too little traffic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from deploywatch.plurals import number_of
from deploywatch.verdict.sentences import sentence
from deploywatch.verdict.values import (
    Finding,
    Reason,
    Stage,
    Watched,
    percent,
)

# With a fifth of the looks missing Prometheus was away, and nothing is judged. With traffic in less than 60 % of them
# the version had its requests in bursts, and may be bad between. Fewer than 5 bad requests are no proof whatever the
# ratio is: one user who tries again makes three. One scrape of three may fail.
MOST_MISSING, LEAST_COVERAGE, LEAST_BAD, WATCH_LOOKS = 0.2, 0.6, 5, 3
LIKELY_WORSE = 3.0
"""From these odds on, a relative limit that is not proven broken vetoes a promotion."""
# Routing by connection or by session is never exact; twice or half as much is another rule than the one that is
# planned.
LEAST_REQUESTS_OF_A_SHARE, MOST_SHARE_ODDS = 100, 2.0
_COUNTED_IN_MINUTES = 120


def _gaps(findings: Sequence[Finding]) -> Iterator[tuple[Reason, str]]:
    for finding in findings:
        if finding.coverage < LEAST_COVERAGE:
            covered, least = percent(finding.coverage), percent(LEAST_COVERAGE)
            yield Reason.GAP, f"{finding.name}: {covered} of the looks have traffic, less than {least}"


# The first reason is the one that is shown and counted, so the order is by what a person must do about it: decide, mend
# the measuring, mend the traffic, wait.
def reasons_to_hold(
    stage: Stage, elapsed: float, findings: Sequence[Finding], watched: Sequence[Watched]
) -> Iterator[tuple[Reason, str]]:
    """Every reason not to promote, the most serious first."""
    for finding in findings:
        if finding.bad and not finding.control_bad:
            # Without a control at the same moments, "worse than before" may be the time of day: nothing acts on that by
            # itself.
            yield Reason.NEEDS_PERSON, f"{sentence(stage, finding)}; time of day not excluded, so a person decides"
    yield from _gaps(findings)
    yield from _watches(watched)
    for finding in findings:
        if mismatch := _mismatch(stage, finding):
            yield Reason.SHARE_MISMATCH, mismatch
    yield from _control_bad(findings)
    for finding in findings:
        if finding.needed and not finding.bad:
            soon = "none came yet" if finding.minutes is None else f"{_lasting(finding.minutes)} at this rate"
            yield Reason.LOW_TRAFFIC, f"{finding.name}: {number_of(finding.needed, 'more request')}, {soon}"
    yield from _undecided(stage, elapsed, findings)


def _lasting(minutes: float) -> str:
    """So many minutes as people read them: 9 min, 13 h."""
    return f"{math.ceil(minutes)} min" if minutes <= _COUNTED_IN_MINUTES else f"{math.ceil(minutes / 60):,} h"


def _watches(watched: Sequence[Watched]) -> Iterator[tuple[Reason, str]]:
    for watch in watched:
        # Not measured is taken as bad: no data is never good.
        if not any(bad is False for bad in watch.bad[-WATCH_LOOKS:]):
            state = "was never measured" if all(bad is None for bad in watch.bad) else "is bad or not measured"
            yield Reason.WATCH, f"{watch.name} {state} in the last {WATCH_LOOKS} looks"


def _control_bad(findings: Sequence[Finding]) -> Iterator[tuple[Reason, str]]:
    for finding in findings:
        if finding.control_bad:
            counts, limit = finding.counts, 100 * finding.limit
            stable = f"stable itself failed {counts.control_bad:,} of {counts.control_requests:,} requests"
            yield Reason.CONTROL_BAD_TOO, f"{finding.name}: {stable}; worse than {limit:g} % proven"


def _undecided(stage: Stage, elapsed: float, findings: Sequence[Finding]) -> Iterator[tuple[Reason, str]]:
    absolute = [finding for finding in findings if not finding.relative]
    for finding in absolute:
        if finding.needed is None and not finding.bad:
            yield Reason.UNDECIDED, sentence(stage, finding)
    # A version that fails as often as a control that is broken is not good.
    if not absolute:
        yield Reason.UNDECIDED, "no absolute limit: a comparison with the control alone can't prove a version good"
    for finding in findings:
        # Too little to roll back, too much to promote.
        if finding.relative and not finding.bad and finding.log_e_bad >= math.log(LIKELY_WORSE):
            yield Reason.UNDECIDED, f"{sentence(stage, finding)}, but likely worse"
    if elapsed < stage.lasts:
        yield Reason.UNDECIDED, f"the stage has {math.ceil((stage.lasts - elapsed) / 60)} min more"


def _mismatch(stage: Stage, finding: Finding) -> str | None:
    counts = finding.counts
    both = counts.requests + counts.control_requests
    if not stage.control or stage.share is None or not 0 < stage.share < 1 or both < LEAST_REQUESTS_OF_A_SHARE:
        return None
    # Odds, not shares: at 50 % a share cannot double, and at 1 % a point more or less is nothing.
    planned = stage.share / (1 - stage.share)
    if planned / MOST_SHARE_ODDS <= counts.requests / max(1, counts.control_requests) <= planned * MOST_SHARE_ODDS:
        return None
    of_all, plan = percent(counts.share or 0.0), percent(stage.share)
    return f"{finding.name}: the canary has {of_all} of the requests, planned is {plan}"
