"""Status page: say that there is an incident, and that it is over, wherever JSON over HTTP is taken."""

from __future__ import annotations

from receiver.actions.case import Case
from receiver.actions.posting import STATUS_PAGE
from receiver.desk import Desk
from receiver.jobs import Job, Outcome

KIND, END = STATUS_PAGE.kind, STATUS_PAGE.end


def queue(case: Case) -> None:
    """Queue it, once an incident."""
    case.queue_for_incident(KIND)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Open it; a second try bears the same key."""
    return await STATUS_PAGE.open(desk, job, desk.settings.status_page)


async def end(desk: Desk, job: Job) -> Outcome:
    """Say that the incident is over."""
    return await STATUS_PAGE.close(desk, job, desk.settings.status_page)
