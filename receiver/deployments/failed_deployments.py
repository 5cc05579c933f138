"""Deployments that failed: what they were, and when the service was well again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploywatch.receiver.deployments.deployment import BAD, REFUTED, Deployment, Status
from deploywatch.receiver.incidents.incident import Incident

# As long as a deployment is assessed: what begins later has most likely another cause.
ATTRIBUTED_WITHIN = timedelta(hours=24)
_SERIOUS = ("critical", "high")
# Somebody else's outage is not the deployment's failure.
_OTHER_CAUSES = ("resource", "dependency")


@dataclass(frozen=True, slots=True)
class Failed:
    """A deployment that failed, why, since when, and when it was over; None while it lasts."""

    deployment: Deployment
    why: str
    since: datetime
    recovered: datetime | None


def attribute(deployments: Sequence[Deployment], opened: Iterable[Incident]) -> dict[int, list[Incident]]:
    """The incidents of each deployment: serious ones of no other known cause, that opened within 24 h of its beginning.

    An incident belongs to the newest deployment that had begun when it opened; a rollback is none.
    """
    caused: dict[int, list[Incident]] = {}
    changes = sorted(
        (deployment for deployment in deployments if deployment.rollback_of is None),
        key=lambda deployment: (deployment.started_at, deployment.id),
    )
    began = [change.started_at for change in changes]
    for incident in opened:
        if incident.severity not in _SERIOUS or incident.cause in _OTHER_CAUSES:
            continue
        # Searched by halves: else each incident would look at every deployment that there was.
        before = bisect_right(began, incident.opened_at)
        if before and incident.opened_at - began[before - 1] <= ATTRIBUTED_WITHIN:
            caused.setdefault(changes[before - 1].id, []).append(incident)
    return caused


@dataclass(frozen=True, slots=True)
class Course:
    """What followed upon what: the rollback of each deployment, and from each beginning on the first that was well."""

    undone: Mapping[int, Deployment]
    began: Sequence[datetime]
    well_from: Sequence[datetime | None]

    @classmethod
    def of(cls, deployments: Sequence[Deployment]) -> Course:
        """From all records of a target."""
        rows = sorted(deployments, key=lambda deployment: (deployment.started_at, deployment.id))
        first: list[datetime | None] = [None]
        # From the last to the first, so that each row knows the earliest end of a good one after it in one walk.
        for row in reversed(rows):
            ends = [end for end in (first[-1], row.finished_at if _is_well(row) else None) if end is not None]
            first.append(min(ends, default=None))
        undone = {row.rollback_of: row for row in rows if row.rollback_of is not None}
        return cls(undone, [row.started_at for row in rows], first[::-1])

    def well_after(self, moment: datetime) -> datetime | None:
        """When the first deployment or rollback succeeded that began after this moment."""
        return self.well_from[bisect_right(self.began, moment)]


def _is_well(deployment: Deployment) -> bool:
    return deployment.status is Status.SUCCEEDED and deployment.verdict != BAD and deployment.success != REFUTED


def failed_deployment(change: Deployment, course: Course, caused: Sequence[Incident]) -> Failed | None:
    """Whether a deployment failed: its pipeline says so, it was judged bad, was undone, or caused an incident."""
    reasons: list[tuple[datetime, str]] = [(incident.opened_at, f"incident {incident.id}") for incident in caused]
    if change.verdict == BAD and change.judged_at:
        reasons.append((change.judged_at, "judged bad"))
    if change.status is Status.FAILED and change.finished_at:
        reasons.append((change.finished_at, "its pipeline failed"))
    if change.success == REFUTED and not reasons and change.status is not Status.ROLLED_BACK:
        reasons.append((change.finished_at or change.started_at, "its health refuted it"))
    undone = course.undone.get(change.id)
    if change.status is Status.ROLLED_BACK and not reasons:
        reasons.append((undone.started_at if undone else change.finished_at or change.started_at, "rolled back"))
    if not reasons:
        return None
    # The earliest: recovery is measured from when it began to fail, whoever noticed it first.
    since, why = min(reasons)
    return Failed(change, why, since, _recovered(change, course, caused, since))


def _recovered(change: Deployment, course: Course, caused: Sequence[Incident], since: datetime) -> datetime | None:
    """When a failed deployment was over: its incidents are resolved, and something that is well runs in its place."""
    ends: list[datetime | None] = [incident.resolved_at for incident in caused]
    if not _is_well(change):
        ends.append(course.well_after(change.started_at))
    known = [end for end in ends if end is not None]
    # Over when everything is; one open incident, and it is not.
    return max(since, *known) if known and len(known) == len(ends) else None
