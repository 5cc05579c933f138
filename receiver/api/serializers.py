"""Incidents as the API shows them; times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from deploywatch.clock import Now
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.actions.rollback.approval import Approval
from deploywatch.receiver.api.routing import PREFIX, iso
from deploywatch.receiver.api.schemas.actions import ActionsAnswer, ApprovalAnswer
from deploywatch.receiver.api.schemas.incidents import CheckAnswer, HoldAnswer, IncidentAnswer, WholeIncidentAnswer
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.lifecycle import checklist
from deploywatch.receiver.lifecycle.checklist import Check
from deploywatch.receiver.lifecycle.probable_cause import ANSWERS
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.causes import Cause
from deploywatch.receiver.store.action_schema import action_runs, attachments, rollbacks
from deploywatch.receiver.suppression import gate
from deploywatch.receiver.suppression.windows import Hold


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
    incident = store.find(connection, wanted)
    if incident is None:
        return None
    query = select(rollbacks).where(rollbacks.c.incident_id == wanted).order_by(rollbacks.c.id)
    items = checklist.checks(connection, wanted) or checklist.planned(settings.strategy.of(incident.severity))
    hold = None if incident.resolved_at else gate.window_of(connection, settings, incident, clock())
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
                "generator_url": alert.source_url,
            }
            for alert in alert_views.views(connection, wanted)
        ],
        "rollbacks": [
            {**row, "started_at": iso(row["started_at"]), "finished_at": iso(row["finished_at"])}
            for row in connection.execute(query).mappings()
        ],
        "checklist": {"monitoring": _items(items, "monitoring"), "resolution": _items(items, "resolution")},
        "maintenance": _hold(hold) if hold else None,
        "timeline": [
            {"at": entry.at.isoformat(), "kind": entry.kind, "actor": entry.actor, "text": entry.text}
            for entry in timeline.entries(connection, wanted)
        ],
    }


def actions_json(connection: Connection, wanted: int) -> ActionsAnswer | None:
    """What was asked, run and found for an incident; None when there is none of this number."""
    if store.find(connection, wanted) is None:
        return None
    runs = select(action_runs).where(action_runs.c.incident_id == wanted).order_by(action_runs.c.id)
    kept = [column for column in attachments.c if column.name != "body"]
    query = select(*kept).where(attachments.c.incident_id == wanted).order_by(attachments.c.id)
    ran = connection.execute(runs).mappings()
    return ActionsAnswer(
        approvals=[approval_json(asked) for asked in approval.of_incident(connection, wanted)],
        runs=[{**row, "started_at": iso(row["started_at"]), "finished_at": iso(row["finished_at"])} for row in ran],
        attachments=[
            {**row, "created_at": iso(row["created_at"]), "url": f"{PREFIX}/attachments/{row['id']}"}
            for row in connection.execute(query).mappings()
        ],
    )


def approval_json(asked: Approval) -> ApprovalAnswer:
    """A question as the API gives it, without what makes its links valid."""
    return {
        "id": asked.id,
        "incident": asked.incident_id,
        "deployment": asked.deployment_id,
        "to_version": asked.to_version,
        "state": asked.state,
        "asked_at": iso(asked.asked_at),
        "expires_at": iso(asked.expires_at),
        "decided_at": iso(asked.decided_at),
        "decided_by": asked.decided_by,
        "note": asked.note,
    }


def check_json(check: Check) -> CheckAnswer:
    """One item of a checklist."""
    return {"item": check.item, "text": check.text, "done_at": iso(check.done_at), "done_by": check.done_by}


def _items(items: Iterable[Check], phase: str) -> list[CheckAnswer]:
    return [check_json(item) for item in items if item.phase == phase]


def _hold(hold: Hold) -> HoldAnswer:
    return {"until": hold.until.isoformat(), "tell": hold.tell, "reason": hold.reason}
