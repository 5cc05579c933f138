"""Status page: say that there is an incident, and that it is over, wherever JSON over HTTP is taken."""

from __future__ import annotations

from deploywatch.receiver.actions.posting import STATUS_PAGE
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome

KIND, END = STATUS_PAGE.kind, STATUS_PAGE.end


def queue(case: Case) -> None:
    """Queue it, once an incident."""
    case.queue_for_incident(KIND)


async def handle(context: Context, job: Job) -> Outcome:
    """Open it; a second try bears the same key."""
    return await STATUS_PAGE.open(context, job, context.settings.status_page)


async def end(context: Context, job: Job) -> Outcome:
    """Say that the incident is over."""
    return await STATUS_PAGE.close(context, job, context.settings.status_page)


ACTION = Action("status_page", queue, {KIND: handle, END: end})
