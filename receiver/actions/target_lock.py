"""The lock of a target: whatever changes a service in an environment is done one after another, by one holder."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from deploywatch.receiver.store import insert_new
from deploywatch.receiver.store.action_schema import target_locks


def serial_key(service: str, environment: str) -> str:
    """Everything that changes one target is done one after another, whichever replica does it."""
    return f"rollback:{service}/{environment}"


def holder(deployment_id: int) -> str:
    """The name of a rollback as the holder of its target's lock."""
    return f"the rollback of deployment {deployment_id}"


def take(connection: Connection, service: str, environment: str, by: str, now: datetime) -> bool:
    """Take the target's lock, whichever replica asks; False when somebody else has it."""
    row = {"service": service, "environment": environment, "holder": by, "since": now}
    # Insert and look, in one transaction: the primary key decides, not a read that is old by the time of the write.
    insert_new(connection, target_locks, [row])
    return held_by(connection, service, environment) == by


def give_back(connection: Connection, service: str, environment: str, by: str) -> None:
    """Give the lock back; one that somebody else has stays."""
    connection.execute(
        delete(target_locks).where(
            target_locks.c.service == service, target_locks.c.environment == environment, target_locks.c.holder == by
        )
    )


def held_by(connection: Connection, service: str, environment: str) -> str:
    """Who has the target's lock, such as `rollback 5`; empty when nobody has."""
    query = select(target_locks.c.holder).where(
        target_locks.c.service == service, target_locks.c.environment == environment
    )
    return connection.execute(query).scalar() or ""
