"""When each source's watchdog was last heard: while it is silent, nobody knows whether what resolves is over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from deploywatch.receiver.alert import Alert, source_of
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.store.schema import alerts

# Before any alert; one fixed start, so that a watchdog has one row whatever start its alert bears.
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
_SINCE = "heard_since"


@dataclass(frozen=True, slots=True)
class Heard:
    """When a watchdog was last heard firing, since when without a break, and whether it has ended since."""

    at: datetime
    since: datetime
    ended: bool = False

    def silent(self, within: timedelta, now: datetime) -> bool:
        """Whether it has ended, or was not heard for longer than `within`."""
        return self.ended or now - self.at > within


def heard(connection: Connection, name: str, source: str = "") -> Heard | None:
    """What is known of a source's watchdog; None when it was never heard."""
    row = connection.execute(select(alerts).where(alerts.c.fingerprint == _key(name, source))).mappings().first()
    if row is None:
        return None
    since = row["annotations"].get(_SINCE)
    return Heard(row["updated_at"], datetime.fromisoformat(since) if since else _ALWAYS, row["ends_at"] is not None)


def hear(connection: Connection, alert: Alert, now: datetime, within: timedelta) -> None:
    """Note that a watchdog was heard, which belongs to no incident; that it ended is no sign of life."""
    source = source_of(alert.fingerprint)
    known, key = heard(connection, alert.name, source), _key(alert.name, source)
    # A watchdog fires always. Its resolve means that its rule was removed or its Prometheus went away.
    if not alert.firing:
        connection.execute(update(alerts).where(alerts.c.fingerprint == key).values(ends_at=now))
        return
    since = now if known is None or known.silent(within, now) else known.since
    # Stored among the alerts, as one that does not fire and belongs to nothing: so it is shared by replicas and kept
    # over restarts without a table of its own.
    noted = Alert(key, False, _ALWAYS, None, alert.labels, {_SINCE: since.isoformat()})
    alert_store.save(connection, [(noted, "low", None)], now)


def certain_since(
    connection: Connection, name: str, within: timedelta, fingerprints: Iterable[str], now: datetime
) -> datetime | None:
    """Since when it is certain of these alerts that silence means health; None while their watchdog is silent.

    A source whose watchdog was never heard is taken to have none.
    """
    sources = sorted({source_of(fingerprint) for fingerprint in fingerprints})
    known = [last for source in sources if (last := heard(connection, name, source))]
    if any(last.silent(within, now) for last in known):
        return None
    # Several sources may have sent these alerts: what ended is over only since all of them are heard without a break.
    return max((last.since for last in known), default=_ALWAYS)


def _key(name: str, source: str) -> str:
    return f"heard:{hashlib.sha256(f'{source}~{name}'.encode() if source else name.encode()).hexdigest()}"
