"""The floor of new alerts: their rows put into the same tables by the driver alone, nothing decided, nothing served.

A transaction has what 32 connections bring at once: a body and ten alerts each.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import asyncpg
import msgspec
from rich.console import Console
from sqlalchemy.engine import make_url

from bench.receiver.load import Load, requests
from bench.receiver.servers import Place, Plan
from bench.receiver.throughput import ALERTS, CONNECTIONS
from deploywatch.demo.servers import Running
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.intake.payload import understand
from deploywatch.receiver.store import Store

TRANSACTIONS = 60
_NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
_BODY = "INSERT INTO deliveries (received_at, alerts, digest, body) VALUES ({0}1, {0}2, {0}3, {0}4)"
_ALERT = (
    "INSERT INTO alerts (fingerprint, starts_at, current, status, severity, labels, annotations, generator_url, "
    "updated_at) VALUES ({0}1, {0}2, true, 'firing', 'high', {0}3, {0}4, '', {0}5)"
)
Row = tuple[Any, ...]
Transaction = tuple[list[Row], list[Row]]


def floor(console: Console, place: Place, _: Running, plan: Plan) -> None:
    """(g) How many webhooks of new alerts the stores take when nothing else is done."""
    transactions = [_transaction(number) for number in range(TRANSACTIONS)]
    for store in plan.stores:
        name = f"floor-{store.lower()}"
        database = place.database(name) if store == "SQLite" else place.postgres(name)
        if store == "SQLite":
            asyncio.run(_migrated(database))
        begun, cpu = time.perf_counter(), time.process_time()
        if store == "SQLite":
            _sqlite(make_url(database).database or "", transactions)
        else:
            asyncio.run(_postgres(database, transactions))
        seconds, cpu, count = time.perf_counter() - begun, time.process_time() - cpu, TRANSACTIONS * CONNECTIONS
        console.print(
            f"{store}: the rows of {count / seconds:.0f} webhooks of {ALERTS} new alerts a second, {CONNECTIONS} in a "
            f"transaction; {1e6 * cpu / count:.0f} µs of the driver's process for each"
        )


async def _migrated(database: str) -> None:
    store = Store(database)
    await store.migrate()
    await store.close()


def _transaction(number: int) -> Transaction:
    """The rows that the webhooks of one transaction bring."""
    load = Load(0, ALERTS, True, 0.0, CONNECTIONS, first=number * CONNECTIONS)
    bodies = [whole.partition(b"\r\n\r\n")[2] for whole in islice(requests(load), CONNECTIONS)]
    alerts = [_row(alert) for body in bodies for alert in understand(body, _NOW).alerts]
    return [(_NOW, ALERTS, b"", body) for body in bodies], alerts


def _row(alert: Alert) -> Row:
    labels, annotations = (msgspec.json.encode(texts).decode() for texts in (alert.labels, alert.annotations))
    return alert.fingerprint, alert.starts_at, labels, annotations, _NOW


def _sqlite(file: str, transactions: Sequence[Transaction]) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    for bodies, alerts in transactions:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_BODY.format("?"), [(f"{at:%F %T}", *rest) for at, *rest in bodies])
        rows = [(name, f"{at:%F %T}", *texts, f"{now:%F %T}") for name, at, *texts, now in alerts]
        connection.executemany(_ALERT.format("?"), rows)
        connection.execute("COMMIT")
    connection.close()


async def _postgres(database: str, transactions: Sequence[Transaction]) -> None:
    connection = await asyncpg.connect(database)
    for bodies, alerts in transactions:
        async with connection.transaction():
            await connection.executemany(_BODY.format("$"), bodies)
            await connection.executemany(_ALERT.format("$"), alerts)
    await connection.close()
