"""From a plan to the queue: each immediate action by its name, and a line for one that this receiver lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from deploywatch.config import nearest
from deploywatch.receiver.actions.registry import ACTIONS
from deploywatch.receiver.escalation import open_too_long, timers
from deploywatch.receiver.incidents.case import Case
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.notify import digest
from deploywatch.receiver.settings.strategy import ActionName
from deploywatch.receiver.suppression import gate, holding
from deploywatch.receiver.suppression.windows import Hold
from deploywatch.receiver.upstream import watchdog

__all__ = ["Case", "queue_all"]


_TELLING = frozenset({"notify", "escalate", "log"})


def queue_all(case: Case, actions: Iterable[str]) -> None:
    """Queue these actions, in their order; one that does not exist is refused on the timeline.

    During maintenance most of them are held until it ends. That alerts may be lost says nothing of any service, so it
    is only told.
    """
    if case.alert.name == watchdog.SILENT:
        actions = [action for action in actions if action in _TELLING]
    hold = gate.window_of(case.connection, case.settings, case.incident, case.now)
    timers.begin(case.connection, case.incident, case.now, case.again, held=hold is not None)
    open_too_long.watch(case)
    digest.watch(case)
    if hold:
        actions = _hold(case, hold, actions)
    for action in actions:
        if action in ACTIONS:
            ACTIONS[action].queue(case)
        else:
            _refuse(case, action)


def _hold(case: Case, hold: Hold, actions: Iterable[str]) -> Iterable[str]:
    """Keep what a maintenance window holds until it ends; the actions that it lets through."""
    through, held = holding.split(hold, actions)
    holding.keep_actions(
        case.connection, hold, case.incident, case.now, alert=case.alert, event=case.event, actions=held
    )
    return through


def _refuse(case: Case, action: str) -> None:
    hint = nearest(action, get_args(ActionName))
    asked = f"{action[:100]!r}, asked for by {case.alert.name}"
    case.note(Kind.ACTION_REFUSED, f"action {asked}, is not one of this receiver's{hint}")
