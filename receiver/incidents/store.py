"""Incidents, their alerts and their timeline as they stand in the store; every function works in a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, bindparam, exists, func, or_, select, update

from deploywatch.conventions import AlertAnnotation, IncidentMetric
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import Episode
from deploywatch.receiver.incidents.outcomes import outcome
from deploywatch.receiver.messages import AlertView, IncidentView, TimelineEntryView, identity
from deploywatch.receiver.settings.strategy import Severity
from deploywatch.receiver.store import counters, insert_all, insert_id, upsert
from deploywatch.receiver.store.schema import action_runs, alerts, incidents, rollbacks, timeline

K = TypeVar("K", int, str)

SYSTEM = "deploywatch"
PAGE = "/incidents/{id}"
"""Where a person sees an incident in a browser."""
_CHUNK = 500
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATING = "mitigating"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """One row of the incidents; `quiet_since` is when its last alert resolved.

    `correlation` has the values of the further labels that tell it from others of its service and environment.
    `mitigating_since` is a person's word that something is being done, `mitigation` says that a rollback or another
    action is under way; it is read from theirs and not stored.
    """

    id: int
    service: str
    environment: str
    severity: Severity
    type: str
    title: str
    channels: tuple[str, ...]
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    quiet_since: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    commander: str | None = None
    mitigating_since: datetime | None = None
    cause: str | None = None
    cause_why: str | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    correlation: Mapping[str, str] = field(default_factory=dict)
    mitigation: bool = False

    @property
    def status(self) -> Status:
        """Resolved; monitoring while all its alerts are quiet; mitigating; else acknowledged or open."""
        if self.resolved_at:
            return Status.RESOLVED
        if self.quiet_since:
            return Status.MONITORING
        if self.mitigating_since or self.mitigation:
            return Status.MITIGATING
        return Status.ACKNOWLEDGED if self.acknowledged_at else Status.OPEN

    @property
    def waits_for_somebody(self) -> bool:
        """Whether its alerts fire and nobody has acknowledged it, whatever is tried automatically meanwhile."""
        return not (self.resolved_at or self.quiet_since or self.acknowledged_at)

    def view(self, external_url: str = "") -> IncidentView:
        """As templates see it."""
        return IncidentView(
            id=self.id,
            service=self.service,
            environment=self.environment,
            severity=self.severity,
            status=self.status,
            title=self.title,
            type=self.type,
            correlation=self.correlation,
            opened_at=self.opened_at,
            acknowledged_at=self.acknowledged_at,
            acknowledged_by=self.acknowledged_by or "",
            resolved_at=self.resolved_at,
            url=external_url.rstrip("/") + PAGE.format(id=self.id) if external_url else "",
        )


_ACTED = or_(
    exists().where(rollbacks.c.incident_id == incidents.c.id, rollbacks.c.state.in_(("running", "verifying"))),
    exists().where(action_runs.c.incident_id == incidents.c.id, action_runs.c.state == "running"),
)
_INCIDENTS = select(incidents, _ACTED.label("mitigation"))
_OWN = tuple(column.name for column in incidents.columns if column.name not in ("id", "open_key"))
# Built once, because every action and message needs them.
_ONE = _INCIDENTS.where(incidents.c.id == bindparam("which"))
_SAVE = update(incidents).where(incidents.c.id == bindparam("which"))
_ALERTS_OF = (
    select(alerts)
    .where(alerts.c.incident_id == bindparam("incident"))
    .order_by(alerts.c.starts_at, alerts.c.fingerprint)
)

_EPISODES = select(
    alerts.c.fingerprint, alerts.c.starts_at, alerts.c.status, alerts.c.annotations, alerts.c.incident_id
).where(alerts.c.current, alerts.c.fingerprint.in_(bindparam("fingerprints", expanding=True)))


def open_key(service: str, environment: str, correlation: Mapping[str, str] | None = None) -> str:
    """What makes one open incident a service, environment and further values; the separator cannot be in a label.

    However many and long the further values are, the key stays short enough to be indexed; their order is all one.
    """
    key = f"{service}\x1f{environment}"
    if not correlation:
        return key
    return f"{key}\x1f{identity(*(part for pair in sorted(correlation.items()) for part in pair))}"


def find(connection: Connection, incident_id: int) -> Incident | None:
    """One incident, or None."""
    row = connection.execute(_ONE, {"which": incident_id}).mappings().one_or_none()
    return _incident(row) if row else None


def get(connection: Connection, incident_id: int) -> Incident:
    """One incident that must be there."""
    row = connection.execute(_ONE, {"which": incident_id}).mappings().one()
    return _incident(row)


def open_by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Incident]:
    """The open incidents of these keys."""
    found = {}
    for chunk in _chunks(keys):
        for row in connection.execute(select(incidents).where(incidents.c.open_key.in_(chunk))).mappings():
            found[row["open_key"]] = _incident(row)
    return found


def recent(
    connection: Connection,
    *,
    only_open: bool,
    limit: int,
    severities: Sequence[str] = (),
    service: str | None = None,
    environment: str | None = None,
) -> list[Incident]:
    """The newest incidents first; those of these severities, of a service, of an environment."""
    query = _INCIDENTS.order_by(incidents.c.id.desc()).limit(limit)
    if only_open:
        query = query.where(incidents.c.open_key.is_not(None))
    if severities:
        query = query.where(incidents.c.severity.in_(severities))
    if service is not None:
        query = query.where(incidents.c.service == service)
    if environment is not None:
        query = query.where(incidents.c.environment == environment)
    return [_incident(row) for row in connection.execute(query).mappings()]


def unresolved(connection: Connection) -> list[Incident]:
    """Every incident that is not resolved."""
    query = _INCIDENTS.where(incidents.c.open_key.is_not(None))
    return [_incident(row) for row in connection.execute(query).mappings()]


def add(connection: Connection, incident: Incident) -> Incident:
    """Store a new incident; it comes back with its number."""
    values = {**_columns(incident), "open_key": open_key(incident.service, incident.environment, incident.correlation)}
    return replace(incident, id=insert_id(connection, incidents, values))


def save(connection: Connection, incident: Incident) -> None:
    """Write what changed; a resolved incident gives up its place as the open one."""
    values = _columns(incident)
    if incident.resolved_at:
        values["open_key"] = None
    connection.execute(_SAVE, {"which": incident.id, **values})


def write_line(
    connection: Connection, incident_id: int, at: datetime, kind: str, text: str, *, actor: str = SYSTEM
) -> None:
    """Add one line to the timeline; one that says how an action ended is counted."""
    write_lines(connection, [line(incident_id, at, kind, text, actor=actor)])
    if counted := outcome(kind):
        counters.add(connection, IncidentMetric.ACTIONS, *counted)


def line(incident_id: int, at: datetime, kind: str, text: str, *, actor: str = SYSTEM) -> dict[str, Any]:
    """One line of the timeline, to be written with others."""
    return {"incident_id": incident_id, "at": at, "kind": kind, "actor": actor, "text": text[:4000]}


def write_lines(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to timelines."""
    if lines:
        insert_all(connection, timeline, lines)


def timeline_of(connection: Connection, incident_id: int) -> list[TimelineEntryView]:
    """The incident's timeline, oldest first."""
    query = select(timeline).where(timeline.c.incident_id == incident_id).order_by(timeline.c.at, timeline.c.id)
    return [
        TimelineEntryView(at=row["at"], kind=row["kind"], actor=row["actor"], text=row["text"])
        for row in connection.execute(query).mappings()
    ]


def kinds(connection: Connection, incident_ids: Iterable[int]) -> set[tuple[int, str]]:
    """Which kinds of lines are on these incidents' timelines."""
    query = select(timeline.c.incident_id, timeline.c.kind).distinct()
    return {
        (incident_id, kind)
        for chunk in _chunks(incident_ids)
        for incident_id, kind in connection.execute(query.where(timeline.c.incident_id.in_(chunk)))
    }


def rollback_said(connection: Connection, incident_id: int) -> str:
    """What the incident's timeline last said of a rollback; an empty text when it never did."""
    of_rollbacks = or_(timeline.c.kind.startswith("rollback_"), timeline.c.kind.startswith("approval_"))
    query = select(timeline.c.text).where(timeline.c.incident_id == incident_id, of_rollbacks)
    return connection.execute(query.order_by(timeline.c.id.desc()).limit(1)).scalar() or ""


def moments(connection: Connection, incident_id: int, kind: str) -> list[datetime]:
    """When lines of one kind were written to the incident's timeline, oldest first."""
    query = select(timeline.c.at).where(timeline.c.incident_id == incident_id, timeline.c.kind == kind)
    return list(connection.execute(query.order_by(timeline.c.at, timeline.c.id)).scalars())


def episodes(connection: Connection, fingerprints: Iterable[str]) -> dict[str, tuple[Episode, int | None]]:
    """The current episode of each fingerprint that is known, with the incident that it belongs to."""
    return {
        fingerprint: (Episode(starts_at, status == "firing", annotations), incident_id)
        for chunk in _chunks(fingerprints)
        for fingerprint, starts_at, status, annotations, incident_id in connection.execute(
            _EPISODES, {"fingerprints": chunk}
        )
    }


def save_alerts(
    connection: Connection,
    changed: Sequence[tuple[Alert, str, int | None]],
    now: datetime,
    *,
    overtaken: Iterable[str] = (),
) -> None:
    """Store episodes as (alert, severity, incident); the newest of a fingerprint becomes its current one.

    `overtaken` are the fingerprints that have an older current episode in the store.
    """
    newest: dict[str, datetime] = {}
    for alert, _, _ in changed:
        newest[alert.fingerprint] = max(alert.starts_at, newest.get(alert.fingerprint, alert.starts_at))
    for chunk in _chunks(overtaken):
        connection.execute(
            update(alerts).where(alerts.c.current, alerts.c.fingerprint.in_(chunk)).values(current=False)
        )
    rows = (
        _alert_row(alert, severity, incident, now, current=alert.starts_at == newest[alert.fingerprint])
        for alert, severity, incident in changed
    )
    upsert(connection, alerts, rows)


def firing(connection: Connection) -> list[Alert]:
    """Every alert that fires as far as the store knows and belongs to an incident that is not over."""
    query = (
        select(alerts)
        .join(incidents, incidents.c.id == alerts.c.incident_id)
        .where(alerts.c.current, alerts.c.status == "firing", incidents.c.open_key.is_not(None))
    )
    return [_alert(row) for row in connection.execute(query).mappings()]


def last_update(connection: Connection, name: str) -> datetime | None:
    """When an alert of this name was last heard of, as `hear` noted it."""
    query = select(func.max(alerts.c.updated_at)).where(alerts.c.fingerprint == _heard(name))
    found: datetime | None = connection.execute(query).scalar()
    return found


def hear(connection: Connection, alert: Alert, now: datetime) -> None:
    """Note that an alert was heard of which belongs to no incident, such as a watchdog."""
    noted = Alert(_heard(alert.name), False, _ALWAYS, None, alert.labels)
    upsert(connection, alerts, [_alert_row(noted, "low", None, now)])


def _heard(name: str) -> str:
    return f"heard:{hashlib.sha256(name.encode()).hexdigest()}"


def is_quiet(connection: Connection, incident_id: int) -> bool:
    """Whether none of the incident's alerts fires."""
    query = select(alerts.c.fingerprint).where(
        alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing"
    )
    return connection.execute(query.limit(1)).first() is None


def alerts_of(connection: Connection, incident_id: int) -> tuple[AlertView, ...]:
    """The incident's alerts as templates see them, in the order in which they began."""
    rows = connection.execute(_ALERTS_OF, {"incident": incident_id}).mappings()
    return tuple(alert_view(_alert(row), row["severity"]) for row in rows)


def _incident(row: RowMapping) -> Incident:
    values = {key: row[key] for key in row if key != "open_key"}
    acted = bool(values.pop("mitigation", False))
    return Incident(**{**values, "channels": tuple(row["channels"])}, mitigation=acted)


def _columns(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in _OWN} | {"channels": list(incident.channels)}


def _alert_row(
    alert: Alert, severity: str, incident_id: int | None, now: datetime, *, current: bool = True
) -> dict[str, Any]:
    return {
        "fingerprint": alert.fingerprint,
        "starts_at": alert.starts_at,
        "current": current,
        "incident_id": incident_id,
        "status": "firing" if alert.firing else "resolved",
        "ends_at": alert.ends_at,
        "severity": severity,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "generator_url": alert.generator_url,
        "updated_at": now,
    }


def alert_view(alert: Alert, severity: str) -> AlertView:
    """An alert as templates see it."""
    annotations = alert.annotations
    return AlertView(
        name=alert.name,
        firing=alert.firing,
        severity=severity,
        summary=annotations.get(AlertAnnotation.SUMMARY, ""),
        description=annotations.get(AlertAnnotation.DESCRIPTION, ""),
        value=annotations.get(AlertAnnotation.VALUE, ""),
        threshold=annotations.get(AlertAnnotation.THRESHOLD, ""),
        runbook_url=annotations.get(AlertAnnotation.RUNBOOK_URL, ""),
        dashboard_url=annotations.get(AlertAnnotation.DASHBOARD_URL, ""),
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        labels=alert.labels,
        annotations=annotations,
    )


def _alert(row: RowMapping) -> Alert:
    return Alert(
        fingerprint=row["fingerprint"],
        firing=row["current"] and row["status"] == "firing",
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        labels=row["labels"],
        annotations=row["annotations"],
    )


def _chunks(items: Iterable[K]) -> Iterable[list[K]]:
    """SQLite takes a bounded number of values in one statement."""
    whole = sorted(set(items))
    return (whole[start : start + _CHUNK] for start in range(0, len(whole), _CHUNK))
