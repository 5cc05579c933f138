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
from deploywatch.verdict.holds import LEAST_BAD, MOST_MISSING, reasons_to_hold
from deploywatch.verdict.sentences import FALSE_OF_WORSE, sentence
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

LATE_LOOKS = 2
"""Looks may come this much later than their time, since each waits for a scrape, and is not missing yet."""
# Of a comparison with another time of day, which nobody can call certain.
BEFORE_AND_AFTER_CONFIDENCE = 0.6


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
    # Only whole looks are due, and not the last ones, which wait for their scrape.
    due = math.floor(elapsed / stage.look) - LATE_LOOKS
    # Errors first: what cannot be measured must neither roll back nor promote (no data is never good, an outage never
    # acts).
    if error := _error(stage, due, limits, problems):
        return error
    findings = tuple(_find(stage, due, measured, len(limits)) for measured in limits)
    # Before any reason to hold: a proven harm is not made smaller by a gap elsewhere.
    if guilty := [finding for finding in findings if _rolls_back(stage, finding)]:
        return _decide(stage, Answer.ROLL_BACK, [(Reason.PROVEN_BAD, sentence(stage, f)) for f in guilty], findings)
    holds = list(reasons_to_hold(stage, elapsed, findings, watched))
    if not holds:
        kept = [(Reason.PROVEN_GOOD, sentence(stage, f)) for f in findings if f.good]
        return _decide(stage, Answer.PROMOTE, kept, findings)
    if elapsed >= stage.most:
        after = f"{stage.most / 60:.0f} min" if stage.at_most else f"{MOST_STAGES} times the stage's time"
        # The others stay behind it: they say what the person should look at.
        holds.insert(0, (Reason.NEEDS_PERSON, f"no answer after {after}: accept or roll back"))
    return _decide(stage, Answer.HOLD, holds, findings)


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
    # Bonferroni over limits and stages: the promise is for the whole deployment, not for each of its chances to be
    # wrong.
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
        # Not divided by the number of limits: to promote, each must be proven, so that one wrong proof alone promotes
        # nothing.
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
    # A control that is as bad points at something that both share, and going back would not help. A relative limit
    # counts alone only where both ran at the same moments.
    return finding.bad and not finding.control_bad and (stage.control or not finding.relative)


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
