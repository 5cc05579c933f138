"""What was not measured of a deployment, in sentences: a report without them would read as if all were known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from deploywatch.receiver.deployments.assessments import StoredAssessment
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.deployments.verdicts import StoredVerdict


def unmeasured(
    judged: Sequence[tuple[RunningStage, StoredVerdict | None]],
    taken: Mapping[int, Sequence[StoredLook]],
    newest: StoredAssessment | None,
    without_source: int,
) -> Iterator[str]:
    """Every gap: of the stages, of the control, of the assessments. `taken` are the looks by stage."""
    if not judged:
        yield "requests: none of its stages was begun, so nobody counted"
    for stage, verdict in judged:
        yield from _of_stage(stage, verdict, taken.get(stage.id, ()))
    if newest is None:
        yield "its health: it was never assessed"
        return
    if without_source:
        yield f"its health, in {without_source} of {newest.number} assessments: Prometheus gave no answer, or no plan"
    yield from newest.details["unmeasured"]


def _is_counted(look: StoredLook, limit: str, *, control: bool) -> bool:
    return limit in look.counts and not look.counts[limit].faults(control=control)


def _of_stage(stage: RunningStage, verdict: StoredVerdict | None, taken: Sequence[StoredLook]) -> Iterator[str]:
    where = f"stage {stage.name}"
    if not taken:
        # A verdict with a look's number, and no look: retention has taken them, which is no gap in the measuring.
        yield f"{where}: no look is stored" + (" any more" if verdict is not None and verdict.look else "")
        return
    # Looks are numbered by when they were due, so the last number says how many there should be.
    due = taken[-1].number
    if missing := due - len(taken):
        yield f"{where}: {missing} of {due} looks are missing"
    for limit in stage.plan.limits:
        if empty := sum(not _is_counted(look, limit.name, control=stage.plan.control) for look in taken):
            yield f"{where}, {limit.name}: {empty} of {due} looks have no good count"
    for watch in stage.plan.watch:
        if empty := sum(look.watched.get(watch.name) is None for look in taken):
            yield f"{where}, {watch.name}: not measured in {empty} of {due} looks"
    if not stage.plan.control:
        yield f"{where}: the old version at the same moments; the time of day is not excluded"
