"""Screens with a link: each opens the wall and nothing else, is known by a hash, and is good until it is revoked."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, select

from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.console_schema import screens


@dataclass(frozen=True, slots=True)
class Screen:
    """One link, by the name of its screen; what it bears is known to nobody but whoever was given it."""

    id: int
    name: str
    made_at: datetime
    made_by: str


def new_key() -> str:
    """What a link bears: 256 bits that nobody guesses."""
    return secrets.token_urlsafe(32)


def make(connection: Connection, key: str, name: str, now: datetime, by: str) -> Screen:
    """Make a screen that the key opens."""
    row = {"name": name, "digest": _digest(key), "made_at": now, "made_by": by}
    return Screen(insert_id(connection, screens, row), name, now, by)


def is_known(connection: Connection, key: str) -> bool:
    """Whether a screen has this key."""
    return connection.execute(select(screens.c.id).where(screens.c.digest == _digest(key))).first() is not None


def listed(connection: Connection) -> list[Screen]:
    """Every screen, the newest first."""
    rows = connection.execute(select(screens).order_by(screens.c.id.desc())).mappings()
    return [_screen(row) for row in rows]


def revoke(connection: Connection, number: int) -> Screen | None:
    """Take a screen's link away; None where there is no such screen."""
    row = connection.execute(select(screens).where(screens.c.id == number)).mappings().first()
    connection.execute(delete(screens).where(screens.c.id == number))
    return _screen(row) if row else None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _screen(row: RowMapping) -> Screen:
    return Screen(row["id"], row["name"], row["made_at"], row["made_by"])
