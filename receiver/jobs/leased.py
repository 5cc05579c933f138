"""Writes how several leased jobs ended in one statement, which says whose lease was lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, update

from deploywatch.receiver.store.schema import jobs

_ENDED = (
    update(jobs)
    .where(
        jobs.c.id == bindparam("which"), jobs.c.leased_by == bindparam("owner"), jobs.c.attempts == bindparam("attempt")
    )
    .values(
        state=bindparam("state"),
        run_at=bindparam("run_at"),
        note=bindparam("note"),
        reason=bindparam("reason"),
        finished_at=bindparam("finished_at"),
        uncertain_attempts=func.coalesce(bindparam("uncertain_attempts"), jobs.c.uncertain_attempts),
        leased_by=None,
        leased_until=None,
    )
)
_POSTGRESQL: Final = """
UPDATE jobs SET state = ended.state, run_at = ended.run_at, note = ended.note,
    reason = ended.reason, finished_at = ended.finished_at, doubts = coalesce(ended.uncertain_attempts, jobs.doubts),
    leased_by = NULL, leased_until = NULL
FROM jsonb_to_recordset($1::jsonb) AS ended (which bigint, attempt integer, state text, run_at timestamptz, note text,
    reason text, finished_at timestamptz, uncertain_attempts integer)
WHERE jobs.id = ended.which AND jobs.leased_by = $2 AND jobs.attempts = ended.attempt
RETURNING jobs.id
"""


class LeaseLostError(Exception):
    """One of several jobs was taken over; ended one by one, each says for itself whether it was."""


def update_leased(connection: Connection, owner: str, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """End the leases of these jobs, where they are still the owner's and of this attempt; which were comes back.

    LeaseLostError, and the transaction is to be given up, where SQLite cannot tell which of several was lost.
    """
    # One statement that says which rows it changed, however many; SQLite runs one a row and says only how many.
    if connection.dialect.name == "postgresql":
        values = json.dumps([{name: _plain(value) for name, value in row.items()} for row in rows])
        return set(connection.exec_driver_sql(_POSTGRESQL, (values, owner)).scalars())
    parameters = [{**row, "owner": owner} for row in rows]
    # Most come alone, and of one its count says which.
    if len(rows) == 1:
        return {rows[0]["which"]} if connection.execute(_ENDED, parameters[0]).rowcount == 1 else set()
    if connection.execute(_ENDED, parameters).rowcount != len(rows):
        raise LeaseLostError("not every job was still leased")
    return {row["which"] for row in rows}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
