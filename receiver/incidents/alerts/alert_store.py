"""Alerts as they stand in the store: each episode of a fingerprint, and the incident that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, case, func, literal, or_, select, update

from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import Episode, labels_of
from deploywatch.receiver.store.among import among, rows
from deploywatch.receiver.store.by_column import upsert_columns
from deploywatch.receiver.store.chunks import chunks
from deploywatch.receiver.store.schema import alerts, incidents
from deploywatch.receiver.store.writing import AT_ONCE

# By rank, since the words do not sort by how bad they are; one that is not known comes first, as the worst.
_BADNESS = case({severity: rank for rank, severity in enumerate(SEVERITIES)}, value=alerts.c.severity, else_=0)
SINCE = func.coalesce(alerts.c.lowered_to, alerts.c.starts_at)

EPISODES = among(
    select(
        alerts.c.fingerprint,
        alerts.c.starts_at,
        alerts.c.status,
        alerts.c.annotations,
        alerts.c.updated_at,
        alerts.c.labels,
        alerts.c.incident_id,
        alerts.c.lowered_to,
    ).where(alerts.c.current),
    alerts.c.fingerprint,
)

_RECENT_ONES = (
    select(literal(value=True))
    .where(
        alerts.c.incident_id == incidents.c.id,
        alerts.c.current,
        or_(alerts.c.status == "firing", alerts.c.updated_at > bindparam("since")),
    )
    .limit(1)
)
# The first one of each is enough, however many an incident has.
_RECENT = select(
    incidents.c.id,
    _RECENT_ONES.where(alerts.c.severity.in_(bindparam("as_bad", expanding=True))).scalar_subquery(),
    _RECENT_ONES.scalar_subquery(),
).where(incidents.c.id.in_(bindparam("incidents", expanding=True)))


def episodes(connection: Connection, fingerprints: Iterable[str]) -> dict[str, tuple[Episode, int | None]]:
    """The current episode of each fingerprint that is known, with the incident that it belongs to."""
    return {
        fingerprint: (
            Episode(starts_at, status == "firing", annotations, updated_at, labels_of(labels), lowered_to),
            incident_id,
        )
        for fingerprint, starts_at, status, annotations, updated_at, labels, incident_id, lowered_to in rows(
            connection, EPISODES, fingerprints
        )
    }


def save(
    connection: Connection,
    changed: Sequence[tuple[Alert, str, int | None]],
    now: datetime,
    *,
    overtaken: Iterable[str] = (),
) -> None:
    """Store episodes as (alert, severity, incident); the newest of a fingerprint becomes its current one.

    `overtaken` are the fingerprints that have an older current episode in the store.
    """
    # One webhook may bear two episodes of a fingerprint, the old one's end and the new one's beginning; only one is
    # current.
    newest: dict[str, datetime] = {}
    for alert, _, _ in changed:
        newest[alert.fingerprint] = max(alert.starts_at, newest.get(alert.fingerprint, alert.starts_at))
    for chunk in chunks(overtaken):
        connection.execute(
            update(alerts).where(alerts.c.current, alerts.c.fingerprint.in_(chunk)).values(current=False)
        )
    for start in range(0, len(changed), AT_ONCE):
        upsert_columns(connection, alerts, _columns(changed[start : start + AT_ONCE], newest, now))


def firing(connection: Connection) -> list[Alert]:
    """Every alert that fires as far as the store knows and belongs to an incident that is not over."""
    query = (
        select(alerts)
        .join(incidents, incidents.c.id == alerts.c.incident_id)
        .where(alerts.c.current, alerts.c.status == "firing", incidents.c.open_key.is_not(None))
    )
    return [alert_of_row(row) for row in connection.execute(query).mappings()]


def is_quiet(connection: Connection, incident_id: int) -> bool:
    """Whether none of the incident's alerts fires."""
    query = select(alerts.c.fingerprint).where(
        alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing"
    )
    return connection.execute(query.limit(1)).first() is None


def _columns(
    changed: Sequence[tuple[Alert, str, int | None]], newest: Mapping[str, datetime], now: datetime
) -> dict[str, Sequence[Any]]:
    """The rows column by column: a storm's alerts would be as many dictionaries."""
    known, severities, belong_to = zip(*changed, strict=True)
    return {
        "fingerprint": [alert.fingerprint for alert in known],
        "starts_at": [alert.starts_at for alert in known],
        "current": [alert.starts_at == newest[alert.fingerprint] for alert in known],
        "incident_id": belong_to,
        "status": ["firing" if alert.firing else "resolved" for alert in known],
        "ends_at": [alert.ends_at for alert in known],
        "severity": severities,
        "labels": [alert.labels for alert in known],
        "annotations": [alert.annotations for alert in known],
        "generator_url": [alert.generator_url for alert in known],
        "updated_at": [now] * len(known),
        "lowered_to": [alert.lowered_to for alert in known],
    }


def alert_of_row(row: RowMapping) -> Alert:
    """The alert; an episode that a newer one has overtaken does not fire, whatever was last heard of it."""
    return Alert(
        fingerprint=row["fingerprint"],
        firing=row["current"] and row["status"] == "firing",
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        labels=row["labels"],
        annotations=row["annotations"],
        generator_url=row["generator_url"],
        lowered_to=row["lowered_to"],
    )


def episode(connection: Connection, fingerprint: str, starts_at: datetime) -> Alert:
    """One episode that must be there."""
    query = select(alerts).where(alerts.c.fingerprint == fingerprint, alerts.c.starts_at == starts_at)
    return alert_of_row(connection.execute(query).mappings().one())


def leading(connection: Connection, incident_id: int) -> Alert | None:
    """The worst alert of an incident that fires, of equal ones the one that has fired for longest; None when quiet."""
    query = (
        select(alerts)
        .where(alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing")
        .order_by(_BADNESS, SINCE, alerts.c.fingerprint)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return alert_of_row(row) if row else None


def worst(connection: Connection, incident_id: int) -> Alert | None:
    """The worst alert that an incident has had, of equal ones the one that began first."""
    query = select(alerts).where(alerts.c.incident_id == incident_id).order_by(_BADNESS, SINCE, alerts.c.fingerprint)
    row = connection.execute(query.limit(1)).mappings().first()
    return alert_of_row(row) if row else None


def firing_names(connection: Connection, incident_id: int) -> list[str]:
    """The names of an incident's alerts that fire, each once, the worst first."""
    rows = connection.execute(
        select(alerts.c.labels)
        .where(alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing")
        .order_by(_BADNESS, SINCE)
    ).scalars()
    return list(dict.fromkeys(labels.get("alertname", "an alert without a name") for labels in rows))


def give_up(connection: Connection, incident_id: int) -> tuple[Alert, ...]:
    """An incident that is over lets its alerts go that still fire: what comes of them next is judged as if new."""
    fires = (alerts.c.incident_id == incident_id, alerts.c.status == "firing")
    rows = connection.execute(select(alerts).where(*fires)).mappings().all()
    connection.execute(update(alerts).where(*fires).values(current=False))
    return tuple(msgspec.structs.replace(alert_of_row(row), firing=True) for row in rows)


def firing_of(connection: Connection, incident_id: int) -> frozenset[str]:
    """The fingerprints of an incident's alerts that fire."""
    query = select(alerts.c.fingerprint).where(
        alerts.c.incident_id == incident_id, alerts.c.current, alerts.c.status == "firing"
    )
    return frozenset(connection.execute(query).scalars())


def fingerprints(connection: Connection, incident_id: int) -> frozenset[str]:
    """The fingerprints of an incident's alerts, whether they fire or not."""
    query = select(alerts.c.fingerprint).where(alerts.c.incident_id == incident_id, alerts.c.current)
    return frozenset(connection.execute(query).scalars())


def only_lesser_since(
    connection: Connection, incident_ids: Iterable[int], severity: str, since: datetime
) -> frozenset[int]:
    """Those of the incidents whose alerts that fire, or ended later than `since`, are all less bad than `severity`.

    One without such alerts is none of them.
    """
    # As bad or worse: they are in the order of badness.
    as_bad = SEVERITIES[: SEVERITIES.index(severity) + 1]
    asked = {"since": since, "as_bad": as_bad}
    return frozenset(
        number
        for chunk in chunks(incident_ids)
        for number, worse_there, any_there in connection.execute(_RECENT, {"incidents": chunk, **asked})
        if any_there and not worse_there
    )
