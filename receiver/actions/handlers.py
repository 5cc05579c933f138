"""Which handler does which kind of an action's job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from receiver.actions import investigate, run, scale, status_page, ticket
from receiver.actions.rollback import approval, reconsider, rollback, verify
from receiver.actions.telling import escalate, joined, notify, outlived
from receiver.desk import Desk
from receiver.jobs import Job, Outcome

HANDLERS: Mapping[str, Callable[[Desk, Job], Awaitable[Outcome]]] = {
    notify.KIND: notify.handle,
    escalate.KIND: escalate.handle,
    investigate.KIND: investigate.handle,
    rollback.KIND: rollback.handle,
    rollback.VERIFY: verify.handle,
    reconsider.KIND: reconsider.handle,
    approval.KIND: approval.handle,
    outlived.KIND: outlived.handle,
    joined.KIND: joined.handle,
    scale.KIND: scale.handle,
    run.KIND: run.handle,
    ticket.KIND: ticket.handle,
    ticket.END: ticket.end,
    status_page.KIND: status_page.handle,
    status_page.END: status_page.end,
}
