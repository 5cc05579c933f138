"""Looks at a stage as the store keeps them: a row each, from which evidence is always computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from deploywatch.receiver.store import insert_new
from deploywatch.receiver.store.deployment_schema import deployment_looks
from deploywatch.verdict.evidence import Look


@dataclass(frozen=True, slots=True)
class StoredLook:
    """What was counted in one interval of a stage: by limit the counts, by watched condition whether it was bad.

    `number` is counted from 1; a condition without a value is None.
    """

    number: int
    ends_at: datetime
    counts: Mapping[str, Look]
    watched: Mapping[str, bool | None]


def add(connection: Connection, stage_id: int, look: StoredLook, now: datetime) -> bool:
    """Store a look; False where another replica has stored this one, which then stays as it is."""
    row = {
        "stage_id": stage_id,
        "number": look.number,
        "ends_at": look.ends_at,
        "counts": {
            name: [count.requests, count.bad, count.control_requests, count.control_bad]
            for name, count in look.counts.items()
        },
        "watched": dict(look.watched),
        "taken_at": now,
    }
    return insert_new(connection, deployment_looks, [row]) == 1


def of_stage(connection: Connection, stage_id: int) -> list[StoredLook]:
    """The looks at a stage that were stored, in their order; a number that lacks is a look that is missing."""
    query = select(deployment_looks).where(deployment_looks.c.stage_id == stage_id)
    return [
        StoredLook(
            row["number"],
            row["ends_at"],
            {name: Look(*counts) for name, counts in row["counts"].items()},
            row["watched"],
        )
        for row in connection.execute(query.order_by(deployment_looks.c.number)).mappings()
    ]


def newest_number(connection: Connection, stage_id: int) -> int:
    """The number of the newest look at a stage; 0 where there is none."""
    query = select(func.max(deployment_looks.c.number)).where(deployment_looks.c.stage_id == stage_id)
    return connection.execute(query).scalar() or 0
