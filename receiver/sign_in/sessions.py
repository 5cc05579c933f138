"""Sessions in the store: each is known by the SHA-256 of what the browser holds, and ends when somebody says so."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, delete, insert, select

from deploywatch.receiver.store.console_schema import sessions

# An on-call phone must not ask for a password at night; what acts asks again after APPROVES_FOR.
LASTS = timedelta(days=30)
"""How long a session lasts, from its sign-in."""
# A working day: a browser that was left signed in for weeks may show, and may not roll back.
APPROVES_FOR = timedelta(hours=12)
"""How long after signing in somebody may approve without doing so again."""
_CUT = 200
"""Characters that are kept of what a browser says of itself."""


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of a person; `id` is a hash that opens nothing."""

    id: str
    kind: str
    name: str
    user: str
    credential: str
    host: str
    remote: str
    agent: str
    began_at: datetime
    ends_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Whether it may approve: its sign-in is not long ago."""
        return now - self.began_at < APPROVES_FOR


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sign-in comes from: the name that the browser calls us, its address, and what it says of itself."""

    host: str
    remote: str
    agent: str


def hashed(key: str) -> str:
    """The id under which the store has what a browser holds."""
    # Not the key itself: whoever can read the database must not be able to act as others. A plain hash is enough, as
    # the key is random and long, so that nobody can guess it.
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def new_key() -> str:
    """What a browser is given: 256 bits that nobody guesses."""
    return secrets.token_urlsafe(32)


def begin(
    connection: Connection,
    key: str,
    origin: Origin,
    now: datetime,
    *,
    kind: str,
    name: str,
    user: str = "",
    credential: str = "",
) -> Session:
    """Begin a session for whom holds the key."""
    begun = Session(
        id=hashed(key),
        kind=kind,
        name=name,
        user=user,
        credential=credential,
        host=origin.host,
        remote=origin.remote[:100],
        agent=origin.agent[:_CUT].replace("\0", ""),
        began_at=now,
        ends_at=now + LASTS,
    )
    connection.execute(insert(sessions).values(**asdict(begun)))
    return begun


def find(connection: Connection, key: str, now: datetime) -> Session | None:
    """The session of whom holds the key, while it lasts."""
    query = select(sessions).where(sessions.c.id == hashed(key), sessions.c.ends_at > now)
    row = connection.execute(query).mappings().first()
    return _session(row) if row else None


def listed(connection: Connection, now: datetime, name: str) -> list[Session]:
    """The sessions of a name that last, the newest first."""
    query = select(sessions).where(sessions.c.ends_at > now, sessions.c.name == name)
    query = query.order_by(sessions.c.began_at.desc(), sessions.c.id)
    return [_session(row) for row in connection.execute(query).mappings()]


def end(connection: Connection, identifier: str, *, name: str | None = None) -> int:
    """End one session, if it is of this name where one is given; how many that were."""
    query = delete(sessions).where(sessions.c.id == identifier)
    # With the name in the same statement: nobody ends the session of another by its number.
    return connection.execute(query if name is None else query.where(sessions.c.name == name)).rowcount


def end_all(connection: Connection, *, name: str | None = None) -> int:
    """End every session of a name, or of everybody; how many that were."""
    query = delete(sessions)
    if name is not None:
        query = query.where(sessions.c.name == name)
    return connection.execute(query).rowcount


def _session(row: RowMapping) -> Session:
    return Session(**row)
