"""Ticket: open one an incident in whatever system takes JSON over HTTP."""

from __future__ import annotations

from receiver.actions.case import Case
from receiver.actions.posting import post
from receiver.desk import Desk
from receiver.jobs import Job, Outcome

KIND = "ticket"


def queue(case: Case) -> None:
    """Queue it, once an incident."""
    case.queue_for_incident(KIND)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Open it; a second try bears the same key."""
    return await post(desk, job, desk.settings.ticket, what="ticket")
