"""Incidents, their alerts and their timeline as they stand in the store; every function works in a transaction."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, exists, or_, select, update

from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.messages import identity
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.action_schema import action_runs, rollbacks
from deploywatch.receiver.store.among import among, rows
from deploywatch.receiver.store.chunks import chunks
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.schema import incidents

# Worked out on reading, never stored: an action that ends would have to find the incident again, and a crash between
# the two would leave it "mitigating" for ever.
_ACTED = or_(
    exists().where(rollbacks.c.incident_id == incidents.c.id, rollbacks.c.state.in_(("running", "verifying"))),
    exists().where(action_runs.c.incident_id == incidents.c.id, action_runs.c.state == "running"),
)
_INCIDENTS = select(incidents, _ACTED.label("mitigation"))
# `open_key` follows from the others, and the number is the database's.
_OWN = tuple(column.name for column in incidents.columns if column.name not in ("id", "open_key"))
# Built once, because every action and message needs them.
_ONE = _INCIDENTS.where(incidents.c.id == bindparam("which"))
_SAVE = update(incidents).where(incidents.c.id == bindparam("which"))
_BY_KEY = among(select(incidents), incidents.c.open_key)
_READ_FROM = (incidents.name, rollbacks.name, action_runs.name)


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
    return unit_of_work.remember(connection, _READ_FROM, incident_id, lambda: _get(connection, incident_id))


def _get(connection: Connection, incident_id: int) -> Incident:
    return _incident(connection.execute(_ONE, {"which": incident_id}).mappings().one())


def load(connection: Connection, incident_ids: Iterable[int]) -> None:
    """Read these incidents at once, for those who will `get` them in this transaction."""
    there = _remembered(connection)
    for chunk in chunks(number for number in incident_ids if number not in there):
        rows = connection.execute(_INCIDENTS.where(incidents.c.id.in_(chunk))).mappings().all()
        there = _remembered(connection)
        there.update({row["id"]: _incident(row) for row in rows})


def _remembered(connection: Connection) -> dict[Hashable, Any]:
    return unit_of_work.known(connection, _READ_FROM)


def open_by_key(connection: Connection, keys: Iterable[str]) -> dict[str, Incident]:
    """The open incidents of these keys."""
    return {row.open_key: _incident(row._mapping) for row in rows(connection, _BY_KEY, keys)}


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


def since(connection: Connection, service: str, environment: str, moment: datetime) -> list[Incident]:
    """Every incident of a service in an environment that opened at that moment or later, the oldest first."""
    query = _INCIDENTS.where(
        incidents.c.service == service, incidents.c.environment == environment, incidents.c.opened_at >= moment
    )
    return [_incident(row) for row in connection.execute(query.order_by(incidents.c.id)).mappings()]


def spans(
    connection: Connection, service: str, environment: str, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """When a service had an incident in an environment, between two times."""
    query = select(incidents.c.opened_at, incidents.c.resolved_at).where(
        incidents.c.service == service,
        incidents.c.environment == environment,
        incidents.c.opened_at < until,
        or_(incidents.c.resolved_at.is_(None), incidents.c.resolved_at > since),
    )
    return [(max(since, opened), min(until, ended or until)) for opened, ended in connection.execute(query)]


def unresolved(connection: Connection) -> list[Incident]:
    """Every incident that is not resolved."""
    query = _INCIDENTS.where(incidents.c.open_key.is_not(None))
    return [_incident(row) for row in connection.execute(query).mappings()]


def add(connection: Connection, incident: Incident) -> Incident:
    """Store a new incident; it comes back with its number."""
    values = {**_columns(incident), "open_key": open_key(incident.service, incident.environment, incident.correlation)}
    with unit_of_work.keeping(connection, _READ_FROM):
        new = replace(incident, id=insert_id(connection, incidents, values))
    _remembered(connection)[new.id] = new
    return new


def save(connection: Connection, incident: Incident) -> None:
    """Write what changed; a resolved incident gives up its place as the open one."""
    values = {"which": incident.id, **_columns(incident)}
    there = _remembered(connection)
    if known := there.get(incident.id):
        # Whether something is done about it is not the incident's own, and as it was.
        there[incident.id] = replace(incident, mitigation=known.mitigation)
    with unit_of_work.keeping(connection, _READ_FROM):
        if incident.resolved_at:
            unit_of_work.insert_later(connection, incidents.name, [{**values, "open_key": None}], _save_resolved)
        else:
            unit_of_work.insert_later(connection, incidents.name, [values], _save)


def _save(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write each incident as it came to be last."""
    newest = {row["which"]: row for row in rows}
    with unit_of_work.keeping(connection, _READ_FROM):
        connection.execute(_SAVE, list(newest.values()))


def _save_resolved(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    _save(connection, rows)


def _incident(row: RowMapping) -> Incident:
    values = {key: row[key] for key in row if key != "open_key"}
    acted = bool(values.pop("mitigation", False))
    return Incident(**{**values, "channels": tuple(row["channels"])}, mitigation=acted)


def _columns(incident: Incident) -> dict[str, Any]:
    return {name: getattr(incident, name) for name in _OWN} | {"channels": list(incident.channels)}
