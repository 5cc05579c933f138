"""Log: the alert as a line of the timeline and of the receiver's own log."""

from __future__ import annotations

from deploywatch import logs
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.kinds import Kind

_log = logs.get("actions")


def queue(case: Case) -> None:
    """Write the alert to the timeline and to the log, at once."""
    incident, alert = case.incident, case.alert
    _log.info("alert", incident=incident.id, alert=alert.name, severity=incident.severity, summary=case.summary)
    case.note(Kind.LOGGED, f"{alert.name}: {case.summary}" if case.summary else alert.name)


ACTION = Action("log", queue)
