"""Which handler does which kind of a job that is about people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import reminders, steps, timers
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.lifecycle import opening, release
from deploywatch.receiver.suppression import holding

HANDLERS: Mapping[str, Callable[[Context, Job], Awaitable[Outcome]]] = {
    timers.BEGIN: opening.handle,
    timers.REMINDER: reminders.respond,
    timers.STEP: steps.handle,
    timers.UPDATE: reminders.update,
    timers.REVIEW: reminders.review,
    holding.KIND: release.handle,
}
