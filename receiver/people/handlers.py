"""Which handler does which kind of a job that is about people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from receiver.desk import Desk
from receiver.held import holding
from receiver.incidents import agenda
from receiver.jobs import Job, Outcome
from receiver.people import beginning, release
from receiver.people.deadlines import reminders, steps

HANDLERS: Mapping[str, Callable[[Desk, Job], Awaitable[Outcome]]] = {
    agenda.BEGIN: beginning.handle,
    agenda.REMINDER: reminders.respond,
    agenda.STEP: steps.handle,
    agenda.UPDATE: reminders.update,
    agenda.REVIEW: reminders.review,
    holding.KIND: release.handle,
}
