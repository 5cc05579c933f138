"""Ticket: open one an incident in whatever system takes JSON over HTTP, and say there when it is over."""

from __future__ import annotations

from deploywatch.receiver.actions.posting import TICKET
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome

KIND, END = TICKET.kind, TICKET.end


def queue(case: Case) -> None:
    """Queue the opening of a ticket, once for an incident."""
    case.queue_for_incident(KIND)


async def handle(context: Context, job: Job) -> Outcome:
    """Open the ticket; a second try bears the same idempotency key."""
    return await TICKET.open(context, job, context.settings.ticket)


async def end(context: Context, job: Job) -> Outcome:
    """Tell the ticket system that the incident is over."""
    return await TICKET.close(context, job, context.settings.ticket)


ACTION = Action("ticket", queue, {KIND: handle, END: end})
