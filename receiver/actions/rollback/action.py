"""The rollback as an action: the decision, and the handlers of the jobs that follow from it."""

from __future__ import annotations

from deploywatch.receiver.actions.rollback import approval, reconsider, rollback, verify, watch
from deploywatch.receiver.incidents.case import Action

ACTION = Action(
    "rollback",
    rollback.queue,
    {
        rollback.KIND: rollback.handle,
        rollback.VERIFY: verify.handle,
        watch.KIND: watch.handle,
        reconsider.KIND: reconsider.handle,
        approval.KIND: approval.handle,
    },
)
