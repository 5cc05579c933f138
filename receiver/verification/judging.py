"""A stage judged from its stored looks: pure, so that a restart or another replica comes to the same verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.verification.time_of_day import Usual, allowed, said
from deploywatch.verdict.evidence import Look
from deploywatch.verdict.judge import judge
from deploywatch.verdict.plan import StagePlan
from deploywatch.verdict.plan_parts import Limit
from deploywatch.verdict.values import Decision, Measured, Stage, Watched


def decide(stage: RunningStage, taken: Sequence[StoredLook], now: datetime, problems: Sequence[str] = ()) -> Decision:
    """The verdict from all looks until now; `problems` are what the sources could not answer."""
    plan = stage.plan
    # A clock that stands behind that of the replica that began the stage is no time before it.
    elapsed = max(0.0, (now - stage.started_at).total_seconds() - plan.scrape)
    by_number = {look.number: look for look in taken}
    newest = max(by_number, default=0)
    # With the holes: a look that is missing counts as missing, and is not skipped.
    looks = [by_number.get(number) for number in range(1, newest + 1)]
    limits = [_measured(stage, limit, looks) for limit in plan.limits]
    watched = [
        Watched(watch.name, [look.watched.get(watch.name) if look else None for look in looks]) for watch in plan.watch
    ]
    return judge(_stage(plan), elapsed, limits, watched, problems)


def _stage(plan: StagePlan) -> Stage:
    return Stage(
        lasts=plan.lasts,
        stages=plan.stages,
        share=plan.share if plan.control else None,
        control=plan.control,
        false_rollback=plan.false_rollback,
        false_promotion=plan.false_promotion,
        look=plan.look,
        at_most=plan.at_most,
    )


def _measured(stage: RunningStage, limit: Limit, looks: Sequence[StoredLook | None]) -> Measured:
    plan = stage.plan
    earlier = [Look(requests, bad) for requests, bad in (stage.before or {}).get(limit.name, ())]
    counted: list[Look | None] = list(_counted(limit, looks))
    if limit.relative and not plan.control:
        counted = [_with_the_past(look, number, earlier) for number, look in enumerate(counted)]
    faulty = [look is not None and bool(look.faults(control=plan.control or limit.relative)) for look in counted]
    # A count that was none is an error while it is the newest; afterwards that look is missing.
    kept = [
        None if bad and number < len(counted) - 1 else look
        for number, (look, bad) in enumerate(zip(counted, faulty, strict=True))
    ]
    if not limit.relative or plan.control:
        return Measured(limit.name, limit.limit, kept, earlier, limit.relative)
    stored = (stage.usual or {}).get(limit.name)
    hour = Usual.read(stored) if stored else None
    return Measured(limit.name, allowed(limit, hour), kept, earlier, relative=True, note=said(limit, hour))


def _counted(limit: Limit, looks: Sequence[StoredLook | None]) -> Iterator[Look | None]:
    for look in looks:
        yield look.counts.get(limit.name) if look is not None else None


def _with_the_past(look: Look | None, number: int, earlier: Sequence[Look]) -> Look | None:
    """A look beside one of the time before, each of which counts once."""
    if look is None:
        return None
    # Beyond what the past has, nothing can be compared: such a look proves nothing.
    past = earlier[number] if number < len(earlier) else Look(0, 0)
    return Look(look.requests, look.bad, past.requests, past.bad)


def due(stage: RunningStage, now: datetime) -> int:
    """How many looks are over, and one scrape ago, so that their newest samples are there."""
    passed = (now - stage.started_at).total_seconds() - stage.plan.scrape
    return max(0, math.floor(passed / stage.plan.look))


def progress(plan: StagePlan, findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each limit, how far its evidence has come, that it is broken and that it is kept: 1 is proven."""
    enough = math.log(max(1, len(plan.limits)) * plan.stages / plan.false_rollback)
    target = -math.log(plan.false_promotion)
    return [
        {
            "name": finding["name"],
            "bad": min(1.0, max(0.0, finding["log_e_bad"] / enough)),
            "good": min(1.0, max(0.0, (finding["log_e_good"] or 0.0) / target)),
            "relative": finding["relative"],
        }
        for finding in findings
    ]
