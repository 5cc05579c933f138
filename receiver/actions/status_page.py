"""Status page: say once an incident that there is one, wherever JSON over HTTP is taken."""

from __future__ import annotations

from receiver.actions.case import Case
from receiver.actions.posting import post
from receiver.desk import Desk
from receiver.jobs import Job, Outcome

KIND = "status_page"


def queue(case: Case) -> None:
    """Queue it, once an incident."""
    case.queue_for_incident(KIND)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Open it; a second try bears the same key."""
    return await post(desk, job, desk.settings.status_page, what="status page entry")
