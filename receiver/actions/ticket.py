"""Ticket: open one an incident in whatever system takes JSON over HTTP, and say there when it is over."""

from __future__ import annotations

from receiver.actions.case import Case
from receiver.actions.posting import TICKET
from receiver.desk import Desk
from receiver.jobs import Job, Outcome

KIND, END = TICKET.kind, TICKET.end


def queue(case: Case) -> None:
    """Queue it, once an incident."""
    case.queue_for_incident(KIND)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Open it; a second try bears the same key."""
    return await TICKET.open(desk, job, desk.settings.ticket)


async def end(desk: Desk, job: Job) -> Outcome:
    """Say that the incident is over."""
    return await TICKET.close(desk, job, desk.settings.ticket)
