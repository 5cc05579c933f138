"""From a plan to the queue: each immediate action by its name, and a line for one that this receiver lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.config import nearest
from deploywatch.conventions import AlertAnnotation
from receiver.actions import escalate, investigate, rollback
from receiver.actions.notify import tell
from receiver.config import ReceiverConfig
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.incidents.rules import Alert
from receiver.messages import Event
from receiver.people import agenda, holding
from receiver.strategy import ActionName

log = logs.get("actions")


@dataclass(frozen=True, slots=True)
class Case:
    """Why actions are queued: the alert, what it did to the incident (`event`), and the transaction to do it in."""

    connection: Connection
    settings: ReceiverConfig
    incident: Incident
    alert: Alert
    event: Event
    now: datetime

    def note(self, kind: str, text: str) -> None:
        """Add a line to the incident's timeline."""
        book.write_line(self.connection, self.incident.id, self.now, kind, text)


def _rollback(case: Case) -> None:
    rollback.queue(case.connection, case.settings, case.incident, case.alert, case.now)


def _notify(case: Case) -> None:
    incident = case.incident
    tell(case.connection, case.settings, incident, case.event, case.now, once=incident.severity, note=_summary(case))


def _escalate(case: Case) -> None:
    incident, why = case.incident, f"{case.alert.name} is {case.incident.severity}"
    escalate.at_once(case.connection, case.settings, incident, case.now, why=why, once=incident.severity)


def _investigate(case: Case) -> None:
    investigate.queue(case.connection, case.incident, case.now)


def _log(case: Case) -> None:
    summary = _summary(case)
    log.info(
        "alert", incident=case.incident.id, alert=case.alert.name, severity=case.incident.severity, summary=summary
    )
    case.note("logged", f"{case.alert.name}: {summary}" if summary else case.alert.name)


def _summary(case: Case) -> str:
    return case.alert.annotations.get(AlertAnnotation.SUMMARY, "")


ACTIONS: Mapping[str, Callable[[Case], None]] = {
    "rollback": _rollback,
    "notify": _notify,
    "escalate": _escalate,
    "investigate": _investigate,
    "log": _log,
}


def queue_all(case: Case, actions: Iterable[str]) -> None:
    """Queue these actions, in their order; one that does not exist is refused on the timeline.

    During maintenance most of them are held until it ends.
    """
    agenda.begin(case.connection, case.incident, case.now)
    hold = holding.current(case.connection, case.settings, case.incident, case.now)
    if hold:
        actions, held = holding.split(hold, actions)
        holding.keep_actions(
            case.connection, hold, case.incident, case.now, alert=case.alert, event=case.event, actions=held
        )
    for action in actions:
        if action in ACTIONS:
            ACTIONS[action](case)
        else:
            hint = nearest(action, get_args(ActionName))
            asked = f"{action[:100]!r}, asked for by {case.alert.name}"
            case.note("action_refused", f"action {asked}, is not one of this receiver's{hint}")
