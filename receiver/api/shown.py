"""Incidents as the API shows them; times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from deploywatch.clock import Now
from receiver.api.answers import CheckAnswer, HoldAnswer, IncidentAnswer, WholeIncidentAnswer
from receiver.api.routing import iso
from receiver.config import ReceiverConfig
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.people import checks, holding
from receiver.people.causes import ANSWERS, Cause
from receiver.people.checks import Check
from receiver.people.windows import Hold
from receiver.store.schema import rollbacks


def incident_json(settings: ReceiverConfig, incident: Incident) -> IncidentAnswer:
    """One incident, without what belongs to it."""
    seconds = (incident.resolved_at - incident.opened_at).total_seconds() if incident.resolved_at else None
    cause = Cause(incident.cause) if incident.cause else None
    return {
        "id": incident.id,
        "service": incident.service,
        "environment": incident.environment,
        "correlation": dict(incident.correlation),
        "severity": incident.severity,
        "status": incident.status.value,
        "type": incident.type,
        "title": incident.title,
        "channels": list(incident.channels),
        "opened_at": incident.opened_at.isoformat(),
        "acknowledged_at": iso(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "commander": incident.commander,
        "bridge": settings.response.bridge_of(incident.id),
        "mitigating_since": iso(incident.mitigating_since),
        "cause": {"cause": cause.value, "why": incident.cause_why or "", "suggests": list(ANSWERS[cause])}
        if cause
        else None,
        "resolved_at": iso(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "duration_seconds": seconds,
        "review_required": incident.severity in settings.response.review.severities,
        "reviewed_at": iso(incident.reviewed_at),
        "reviewed_by": incident.reviewed_by,
    }


def whole_json(connection: Connection, settings: ReceiverConfig, wanted: int, clock: Now) -> WholeIncidentAnswer | None:
    """An incident with its alerts, rollbacks, checklist and timeline; None when there is none of this number."""
    incident = book.find(connection, wanted)
    if incident is None:
        return None
    query = select(rollbacks).where(rollbacks.c.incident_id == wanted).order_by(rollbacks.c.id)
    items = checks.checks(connection, wanted) or checks.planned(settings.strategy.of(incident.severity))
    hold = None if incident.resolved_at else holding.current(connection, settings, incident, clock())
    return {
        **incident_json(settings, incident),
        "alerts": [
            {
                "name": alert.name,
                "firing": alert.firing,
                "severity": alert.severity,
                "starts_at": alert.starts_at.isoformat(),
                "ends_at": iso(alert.ends_at),
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
            }
            for alert in book.alerts_of(connection, wanted)
        ],
        "rollbacks": [
            {**row, "started_at": iso(row["started_at"]), "finished_at": iso(row["finished_at"])}
            for row in connection.execute(query).mappings()
        ],
        "checklist": {"monitoring": _items(items, "monitoring"), "resolution": _items(items, "resolution")},
        "maintenance": _hold(hold) if hold else None,
        "timeline": [
            {"at": entry.at.isoformat(), "kind": entry.kind, "actor": entry.actor, "text": entry.text}
            for entry in book.timeline_of(connection, wanted)
        ],
    }


def check_json(check: Check) -> CheckAnswer:
    """One item of a checklist."""
    return {"item": check.item, "text": check.text, "done_at": iso(check.done_at), "done_by": check.done_by}


def _items(items: Iterable[Check], phase: str) -> list[CheckAnswer]:
    return [check_json(one) for one in items if one.phase == phase]


def _hold(hold: Hold) -> HoldAnswer:
    return {"until": hold.until.isoformat(), "tell": hold.tell, "reason": hold.reason}
