"""Maintenance windows as they stand in the store, together with the recurring ones; what holds for a service now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.engine import unit_of_work
from deploywatch.receiver.store.people_schema import maintenance
from deploywatch.receiver.suppression import windows
from deploywatch.receiver.suppression.windows import Hold, Window

_SHOWN = 1000
# Built once, because every action needs it.
_OPEN = select(maintenance).where(maintenance.c.ends_at > bindparam("now"), maintenance.c.starts_at <= bindparam("now"))


def start(connection: Connection, window: Window, now: datetime) -> Window:
    """Store a one-off window; it comes back with its number."""
    values = {
        "service": window.service,
        "environment": window.environment,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "tell": window.tell,
        "reason": window.reason,
        "created_at": now,
        "created_by": window.created_by,
    }
    return replace(window, id=insert_id(connection, maintenance, values))


def end(connection: Connection, number: int, now: datetime, by: str) -> Window | None:
    """End a one-off window now, if it has not ended; None when there is none of this number."""
    table = maintenance
    connection.execute(
        update(table).where(table.c.id == number, table.c.ends_at > now).values(ends_at=now, ended_by=by)
    )
    row = connection.execute(select(table).where(table.c.id == number)).mappings().one_or_none()
    return _window(row) if row else None


def upcoming(connection: Connection, recurring: Sequence[RecurringWindow], now: datetime) -> list[Window]:
    """Windows that are open or yet to open, the earliest first; a recurring one while it is open."""
    query = select(maintenance).where(maintenance.c.ends_at > now).order_by(maintenance.c.starts_at).limit(_SHOWN)
    stored = [_window(row) for row in connection.execute(query).mappings()]
    return sorted([*_recurring(recurring, now), *stored], key=lambda window: window.starts_at)


def hold(
    connection: Connection, recurring: Sequence[RecurringWindow], service: str, environment: str, now: datetime
) -> Hold | None:
    """What holds actions for this service back now, or None."""
    # By the moment: all who ask within one transaction ask about the same one.
    stored = unit_of_work.remember(connection, (maintenance.name,), now, lambda: _open(connection, now))
    return windows.hold([*_recurring(recurring, now), *stored], service, environment, now)


def _open(connection: Connection, now: datetime) -> list[Window]:
    return [_window(row) for row in connection.execute(_OPEN, {"now": now}).mappings()]


def _recurring(recurring: Sequence[RecurringWindow], now: datetime) -> Iterator[Window]:
    yield from (occurrence for window in recurring if (occurrence := windows.occurrence(window, now)))


def _window(row: RowMapping) -> Window:
    return Window(**{name: row[name] for name in row if name != "created_at"})
