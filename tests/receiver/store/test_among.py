"""Rows with one of many texts: found without comparing each row with each, however little is known of the table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, text

from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.among import among, rows
from deploywatch.receiver.store.by_column import upsert_columns
from deploywatch.receiver.store.schema import alerts
from tests.receiver.scene import NOON, alert

MANY = 5_000
ODD = ("it's", 'a "quote"', "back\\slash", "ünï", "a,b", "{}", "100%", ":name")
QUERY = among(select(alerts.c.fingerprint), alerts.c.fingerprint)


def _stored(connection: Connection, *fingerprints: str) -> None:
    count, one = len(fingerprints), alert()
    columns: dict[str, list[Any]] = {
        "fingerprint": list(fingerprints),
        "starts_at": [NOON] * count,
        "current": [True] * count,
        "incident_id": [None] * count,
        "status": ["firing"] * count,
        "ends_at": [None] * count,
        "severity": ["high"] * count,
        "labels": [{"number": str(number), **one.labels} for number in range(count)],
        "annotations": [one.annotations] * count,
        "generator_url": [""] * count,
        "updated_at": [NOON] * count,
    }
    upsert_columns(connection, alerts, columns)


async def test_what_is_found_is_what_is_there_whatever_its_letters(store: Store) -> None:
    await store.write(lambda connection: _stored(connection, *ODD, "other"))
    answer = await store.read(lambda connection: [row[0] for row in rows(connection, QUERY, (*ODD, "absent"))])
    assert sorted(answer) == sorted(ODD)
    assert await store.read(lambda connection: list(rows(connection, QUERY, ()))) == []


async def test_rows_that_come_by_column_overwrite_those_with_the_same_key(store: Store) -> None:
    for _ in range(2):
        await store.write(lambda connection: _stored(connection, "a", "b"))
    stored = await store.read(lambda c: c.execute(select(alerts).order_by(alerts.c.fingerprint)).all())
    assert [(row.fingerprint, row.starts_at, row.labels["number"], row.ends_at) for row in stored] == [
        ("a", NOON, "0", None),
        ("b", NOON, "1", None),
    ]


async def test_no_row_is_compared_with_each_of_the_values(store: Store) -> None:
    """PostgreSQL, which knows nothing of a table that has just grown, looked at each row for `= ANY(…)`."""
    await store.write(lambda connection: _stored(connection, *(f"f{number:05}" for number in range(MANY))))

    def plan(connection: Connection) -> str:
        query = alert_store.EPISODES[connection.dialect.name]
        compiled = str(query.compile(dialect=connection.dialect))
        if connection.dialect.name == "sqlite":
            return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ("[]",)).all())
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        connection.exec_driver_sql(f"PREPARE asked (text[]) AS {compiled}")
        found = connection.exec_driver_sql("EXPLAIN EXECUTE asked (ARRAY['f00001'])").all()
        connection.exec_driver_sql("DEALLOCATE asked")
        return "\n".join(row[0] for row in found)

    said = await store.write(plan)
    assert "= ANY" not in said, "each row is compared with each value"
    assert "Filter: (current AND" not in said, said
    assert "SCAN alerts" not in said, said
