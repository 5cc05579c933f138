"""The verdict on a stage of a deployment: error, roll back, promote or hold, with its reason and its numbers.

Pure: the same looks give the same verdict, in another replica and after a restart. What acts on it is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from deploywatch.verdict.evidence import (
    Look,
    dispersion,
    log_e_bad,
    log_e_good,
    log_e_worse,
    requests_needed,
    total,
)
from deploywatch.verdict.values import (
    MOST_STAGES,
    Answer,
    Confidence,
    Decision,
    Finding,
    Measured,
    Reason,
    Stage,
    Watched,
    percent,
)

MOST_MISSING, LEAST_COVERAGE, LEAST_BAD, WATCH_LOOKS = 0.2, 0.6, 5, 3
FALSE_OF_WORSE = 0.1
"""How often a version that is worse than the control, but within a relative limit, may be rolled back all the same."""
LIKELY_WORSE = 3.0
"""From these odds on, a relative limit that is not proven broken vetoes a promotion."""
LATE_LOOKS = 2
"""Looks may come this much later than their time, since each waits for a scrape, and is not missing yet."""
BEFORE_AND_AFTER_CONFIDENCE = 0.6
LEAST_REQUESTS_OF_A_SHARE, MOST_SHARE_ODDS = 100, 2.0


def judge(
    stage: Stage,
    elapsed: float,
    limits: Sequence[Measured],
    watched: Sequence[Watched] = (),
    problems: Sequence[str] = (),
) -> Decision:
    """Judges a stage that has run for `elapsed` seconds. `problems`: what its sources could not answer, in sentences.

    It speaks of the last two looks: a watcher that was away judges each look that it missed, in turn, then this one.
    """
    if not 0 <= elapsed < math.inf:
        raise ValueError(f"a stage has run for some seconds, not {elapsed}")
    due = math.floor(elapsed / stage.look) - LATE_LOOKS
    if error := _error(stage, due, limits, problems):
        return error
    findings = tuple(_find(stage, due, measured, len(limits)) for measured in limits)
    if guilty := [finding for finding in findings if _rolls_back(stage, finding)]:
        return _decide(stage, Answer.ROLL_BACK, [(Reason.PROVEN_BAD, sentence(stage, f)) for f in guilty], findings)
    holds = list(_holds(stage, elapsed, findings, watched))
    if not holds:
        kept = [(Reason.PROVEN_GOOD, sentence(stage, f)) for f in findings if f.good]
        return _decide(stage, Answer.PROMOTE, kept, findings)
    if elapsed >= stage.most:
        after = f"{stage.most / 60:.0f} min" if stage.at_most else f"{MOST_STAGES} times the stage's time"
        holds.insert(0, (Reason.NEEDS_PERSON, f"no answer after {after}: accept or roll back"))
    return _decide(stage, Answer.HOLD, holds, findings)


def sentence(stage: Stage, finding: Finding) -> str:
    """One limit in words: what was counted, and what that proves."""
    text = _proof(stage, finding)
    return f"{text}; {finding.note}" if finding.note else text


def _proof(stage: Stage, finding: Finding) -> str:
    counts = finding.counts
    version = "canary" if stage.control else "new version"
    text = f"{finding.name}: {version} failed {counts.bad:,} of {counts.requests:,} requests"
    if stage.control or finding.relative:
        text += f", {stage.other} {counts.control_bad:,} of {counts.control_requests:,}"
    than = f"{finding.limit:.3g} times {stage.other}" if finding.relative else f"{100 * finding.limit:g} %"
    rarely, seldom = (f"wrong once in {1 / chance:.0f}" for chance in (stage.false_rollback, stage.false_promotion))
    if finding.bad and finding.relative:
        often = f"wrong once in {1 / FALSE_OF_WORSE:.0f}"
        return f"{text}; worse than {stage.other} proven, {rarely}, and worse than {than}, {often}"
    if finding.bad:
        return f"{text}; worse than {than} proven, {rarely}"
    if finding.good:
        return f"{text}; better than {than} proven, {seldom}"
    return f"{text}; neither worse nor better than {than} proven"


def _error(stage: Stage, due: int, limits: Sequence[Measured], problems: Sequence[str]) -> Decision | None:
    reasons = [(Reason.SOURCE, problem) for problem in problems]
    if not limits:
        reasons.append((Reason.NO_LIMITS, "no limit to judge by: the policy's verdict names none"))
    for measured in limits:
        reasons += [(Reason.INVALID_COUNTS, f"{measured.name}, {fault}") for fault in _faults(stage, measured)]
        looks = max(due, len(measured.looks))
        missing = looks - sum(look is not None for look in measured.looks)
        if missing > MOST_MISSING * looks:
            text = f"{measured.name}: {missing} of {looks} looks are missing, more than {percent(MOST_MISSING)}"
            reasons.append((Reason.MISSING_LOOKS, text))
    return _decide(stage, Answer.ERROR, reasons, ()) if reasons else None


def _faults(stage: Stage, measured: Measured) -> Iterator[str]:
    for number, look in enumerate(measured.looks, 1):
        if look is not None:
            yield from (f"look {number}: {fault}" for fault in look.faults(control=stage.control or measured.relative))
    for number, look in enumerate(measured.before, 1):
        yield from (f"look {number} of the hour before: {fault}" for fault in look.faults(control=False))


def _find(stage: Stage, due: int, measured: Measured, limits: int) -> Finding:
    looks = [look for look in measured.looks if look is not None]
    counts = total(looks)
    traffic = [look for look in looks if look.requests and (look.control_requests or not measured.relative)]
    scatter = dispersion(measured.before)
    enough = math.log(limits * stage.stages / stage.false_rollback)

    def proven(of: Sequence[Look]) -> tuple[float, bool]:
        if measured.relative:
            # Two hypotheses fall: a healthy version is accused at most as often as `false_rollback` says, one that is
            # worse than the control but within the limit at most as often as `FALSE_OF_WORSE` says.
            worse, beyond = log_e_worse(of, measured.limit, scatter)
            return beyond, worse >= enough and beyond >= -math.log(FALSE_OF_WORSE)
        summed = total(of)
        log_e = log_e_bad(summed.requests, summed.bad, measured.limit, scatter)
        return log_e, log_e >= enough

    e_bad, bad = proven(looks)
    # Proven a look ago too, so that one wrong sample alone never rolls back.
    bad = bad and counts.bad >= LEAST_BAD and proven(looks[:-1])[1]
    e_good, needed, minutes, control_bad = None, None, None, False
    if not measured.relative:
        target = -math.log(stage.false_promotion)
        e_good = log_e_good(counts.requests, counts.bad, measured.limit, scatter)
        needed = requests_needed(counts.requests, counts.bad, measured.limit, scatter, target)
        rate = counts.requests / (len(looks) * stage.look) if looks else 0.0
        minutes = needed / rate / 60 if needed is not None and rate else None
        control_e = log_e_bad(counts.control_requests, counts.control_bad, measured.limit, scatter)
        control_bad = stage.control and control_e >= enough
    return Finding(
        name=measured.name,
        limit=measured.limit,
        relative=measured.relative,
        counts=counts,
        coverage=len(traffic) / max(1, due, len(measured.looks)),
        dispersion=scatter,
        log_e_bad=e_bad,
        log_e_good=e_good,
        bad=bad,
        good=needed == 0,
        control_bad=control_bad,
        needed=needed,
        minutes=minutes,
        note=measured.note,
    )


def _rolls_back(stage: Stage, finding: Finding) -> bool:
    return finding.bad and not finding.control_bad and (stage.control or not finding.relative)


def _gaps(findings: Sequence[Finding]) -> Iterator[tuple[Reason, str]]:
    for finding in findings:
        if finding.coverage < LEAST_COVERAGE:
            covered, least = percent(finding.coverage), percent(LEAST_COVERAGE)
            yield Reason.GAP, f"{finding.name}: {covered} of the looks have traffic, less than {least}"


def _holds(
    stage: Stage, elapsed: float, findings: Sequence[Finding], watched: Sequence[Watched]
) -> Iterator[tuple[Reason, str]]:
    """Every reason not to promote, the most serious first."""
    for finding in findings:
        if finding.bad and not finding.control_bad:
            yield Reason.NEEDS_PERSON, f"{sentence(stage, finding)}; time of day not excluded, so a person decides"
    yield from _gaps(findings)
    yield from _watches(watched)
    for finding in findings:
        if mismatch := _mismatch(stage, finding):
            yield Reason.SHARE_MISMATCH, mismatch
    yield from _control_bad(findings)
    for finding in findings:
        if finding.needed and not finding.bad:
            soon = "none came yet" if finding.minutes is None else f"{math.ceil(finding.minutes)} min at this rate"
            yield Reason.LOW_TRAFFIC, f"{finding.name}: {finding.needed:,} more requests, {soon}"
    yield from _undecided(stage, elapsed, findings)


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
    planned = stage.share / (1 - stage.share)
    if planned / MOST_SHARE_ODDS <= counts.requests / max(1, counts.control_requests) <= planned * MOST_SHARE_ODDS:
        return None
    of_all, plan = percent(counts.share or 0.0), percent(stage.share)
    return f"{finding.name}: the canary has {of_all} of the requests, planned is {plan}"


def _decide(
    stage: Stage, answer: Answer, reasons: Sequence[tuple[Reason, str]], findings: tuple[Finding, ...]
) -> Decision:
    names = list(dict.fromkeys(reason for reason, _ in reasons))
    confidence = Confidence(0.0, 0.0, 0.0)
    if findings:
        confidence = Confidence(
            coverage=min(finding.coverage for finding in findings),
            agreement=sum(_agrees(finding, answer) for finding in findings) / len(findings),
            sufficiency=sum(_sufficiency(finding) for finding in findings) / len(findings),
            most=1.0 if stage.control else BEFORE_AND_AFTER_CONFIDENCE,
        )
    return Decision(answer, names[0], tuple(text for _, text in reasons), findings, tuple(names[1:]), confidence)


def _agrees(finding: Finding, answer: Answer) -> bool:
    # A relative limit never proves a version good: where it isn't proven worse it does not contradict.
    if finding.relative and not finding.bad:
        return answer != Answer.ROLL_BACK
    return finding.agrees == answer


def _sufficiency(finding: Finding) -> float:
    return 1.0 if finding.relative else finding.sufficiency
