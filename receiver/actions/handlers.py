"""Which handler does which kind of an action's job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from deploywatch.receiver.actions import investigate, run, scale, status_page, ticket
from deploywatch.receiver.actions.rollback import approval, reconsider, rollback, verify
from deploywatch.receiver.context import Context
from deploywatch.receiver.escalation import escalate, open_too_long
from deploywatch.receiver.jobs.queue import Job, Outcome
from deploywatch.receiver.notify import digest, notify

HANDLERS: Mapping[str, Callable[[Context, Job], Awaitable[Outcome]]] = {
    notify.KIND: notify.handle,
    escalate.KIND: escalate.handle,
    investigate.KIND: investigate.handle,
    rollback.KIND: rollback.handle,
    rollback.VERIFY: verify.handle,
    reconsider.KIND: reconsider.handle,
    approval.KIND: approval.handle,
    open_too_long.KIND: open_too_long.handle,
    digest.KIND: digest.handle,
    scale.KIND: scale.handle,
    run.KIND: run.handle,
    ticket.KIND: ticket.handle,
    ticket.END: ticket.end,
    status_page.KIND: status_page.handle,
    status_page.END: status_page.end,
}
