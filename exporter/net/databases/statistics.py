"""What PostgreSQL tells of itself: connections, replication, size and locks, as gauges; each opt-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from deploywatch.exporter.measure import families
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Dropped

Statistics = Literal["connections", "replication", "size", "locks"]
Rows = Sequence[Mapping[str, Any]]

STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
    "unknown",
)
"""Of pg_stat_activity; `unknown` are other users' sessions, which only members of pg_monitor may see."""

SQL: Mapping[Statistics, str] = {
    "connections": """
        SELECT coalesce(state, 'unknown') AS state, count(*) AS connections,
            current_setting('max_connections')::int
                - current_setting('superuser_reserved_connections')::int AS allowed
        FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
        GROUP BY 1""",
    "replication": """
        SELECT pg_is_in_recovery() AS replica, NULL AS name, NULL::numeric AS behind,
            CASE WHEN NOT pg_is_in_recovery() THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS lag
        UNION ALL
        SELECT NULL, application_name, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), NULL
        FROM pg_stat_replication WHERE NOT pg_is_in_recovery()""",
    "size": "SELECT pg_database_size(current_database()) AS bytes",
    # waitstart is there since PostgreSQL 14.
    "locks": """
        SELECT count(*) AS waiting,
            max(extract(epoch FROM clock_timestamp() - (to_jsonb(l) ->> 'waitstart')::timestamptz)) AS longest
        FROM pg_locks l WHERE NOT granted""",
}


def _connections(rows: Rows, measurement: Measurement) -> None:
    counts = {row["state"]: int(row["connections"]) for row in rows}
    for state in STATES:
        measurement.add(families.POSTGRES_CONNECTIONS, counts.get(state, 0), state=state)
    allowed = int(rows[0]["allowed"])
    measurement.add(families.POSTGRES_MAX_CONNECTIONS, allowed)
    if allowed:
        measurement.add(families.POSTGRES_CONNECTIONS_RATIO, sum(counts.values()) / allowed)


def _replication(rows: Rows, measurement: Measurement) -> None:
    own, *replicas = sorted(rows, key=lambda row: row["replica"] is None)
    measurement.add(families.POSTGRES_REPLICA, own["replica"])
    if own["lag"] is not None:
        measurement.add(families.POSTGRES_REPLICATION_LAG, float(own["lag"]))
    if own["replica"]:
        return
    measurement.add(families.POSTGRES_REPLICAS, len(replicas))
    behind: dict[str, float] = {}
    for row in replicas:
        # Several may have one name; the one that is furthest behind counts, and that there were more is counted too.
        name = measurement.label(str(row["name"] or ""))
        if name in behind:
            measurement.dropped[Dropped.REPEATED_SERIES] += 1
        if row["behind"] is not None:
            behind[name] = max(behind.get(name, 0.0), float(row["behind"]))
    for name, distance in behind.items():
        measurement.add(families.POSTGRES_REPLICATION_LAG_BYTES, distance, replica=name)


def _size(rows: Rows, measurement: Measurement) -> None:
    measurement.add(families.POSTGRES_SIZE, int(rows[0]["bytes"]))


def _locks(rows: Rows, measurement: Measurement) -> None:
    measurement.add(families.POSTGRES_LOCKS_WAITING, int(rows[0]["waiting"]))
    measurement.add(families.POSTGRES_LOCK_WAIT, float(rows[0]["longest"] or 0))


NOTE: Mapping[Statistics, Callable[[Rows, Measurement], None]] = {
    "connections": _connections,
    "replication": _replication,
    "size": _size,
    "locks": _locks,
}
"""What to make of the rows."""
