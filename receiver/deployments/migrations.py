"""The ledger of database migrations: how each ended, written once however often it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, select

from deploywatch.receiver.store import insert_new
from deploywatch.receiver.store.deployment_schema import database_migrations as table


class Outcome(StrEnum):
    """How a migration that was begun, or should have been, ended; as `deploywatch migrate` says it."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    COMMITTED_NOT_FINISHED = "committed_not_finished"
    NOT_BEGUN = "not_begun"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration of a service's database; `restore` is the command that brings back what was before it."""

    service: str
    environment: str
    name: str
    outcome: Outcome
    reason: str
    restore: str
    started_at: datetime
    finished_at: datetime
    recorded_at: datetime
    by: str
    id: int = 0

    @property
    def sentence(self) -> str:
        """What a timeline says of it."""
        how = self.outcome.replace("_", " ")
        return f"database migration {self.name!r} by {self.by}: {how}{f' ({self.reason})' if self.reason else ''}"

    def to_json(self) -> dict[str, Any]:
        """As the API gives it."""
        times = ("started_at", "finished_at", "recorded_at")
        return {**asdict(self), **{name: getattr(self, name).isoformat() for name in times}}


def record(connection: Connection, migration: Migration) -> tuple[Migration, bool]:
    """Write it down; the row, and whether it was new."""
    values = {key: value for key, value in asdict(migration).items() if key != "id"}
    new = insert_new(connection, table, [values])
    once = (
        table.c.service == migration.service,
        table.c.environment == migration.environment,
        table.c.name == migration.name,
        table.c.started_at == migration.started_at,
    )
    return _migration(connection.execute(select(table).where(*once)).mappings().one()), bool(new)


def find(connection: Connection, number: int) -> Migration | None:
    """One migration, or None."""
    row = connection.execute(select(table).where(table.c.id == number)).mappings().one_or_none()
    return _migration(row) if row else None


def recent(
    connection: Connection, *, limit: int, service: str | None = None, environment: str | None = None
) -> Iterator[Migration]:
    """The migrations that began last, the newest first."""
    query = select(table).order_by(table.c.started_at.desc(), table.c.id.desc()).limit(limit)
    if service is not None:
        query = query.where(table.c.service == service)
    if environment is not None:
        query = query.where(table.c.environment == environment)
    for row in connection.execute(query).mappings():
        yield _migration(row)


def committed_after(connection: Connection, migration: Migration) -> bool:
    """Whether a later migration of the same database was committed."""
    query = exists().where(
        table.c.service == migration.service,
        table.c.environment == migration.environment,
        table.c.outcome == Outcome.COMMITTED,
        table.c.started_at > migration.started_at,
    )
    return bool(connection.execute(select(query)).scalar())


def _migration(row: RowMapping) -> Migration:
    return Migration(**{**row, "outcome": Outcome(row["outcome"])})
