"""What the benchmark of the receiver runs: receivers on stores of their own, the peer, and stores filled beforehand."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from bench.receiver.load import TOKEN, Load, Seen
from deploywatch.conventions import IncidentMetric
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.receiver.jobs.job import NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store import Store, counters
from deploywatch.receiver.store.schema import alerts, incidents, jobs, timeline

READER = "prometheus-of-the-benchmark"
"""The token of whoever reads."""
STORES = ("SQLite", "PostgreSQL")
DEPLOYER = "pipeline-of-the-benchmark"
"""The token of whoever deploys."""
_LINES = 4
_CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Plan:
    """What of the benchmark is run: rounds of a comparison, on which stores, with known or new alerts, or both."""

    rounds: int
    stores: tuple[str, ...]
    alerts: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where the servers of one run live."""

    processes: Processes
    folder: Path

    def bare(self) -> Running:
        """The peer."""
        port = self.processes.free_port()
        command = [sys.executable, "-m", "bench.receiver.bare", str(port)]
        return servers.python_part(self.processes, "bare", command, port=port, ready="/-/ready")

    def inbox(self, port: int = 0) -> Running:
        """What stands in for those who are told."""
        port = port or self.processes.free_port()
        command = [sys.executable, "-m", "deploywatch.fakes.inbox", "--http", f"127.0.0.1:{port}"]
        return servers.python_part(self.processes, "inbox", command, port=port, ready="/")

    def postgres(self, name: str) -> str:
        """A PostgreSQL that syncs its commits; the URL of its database."""
        url = servers.postgres(self.processes, self.folder / name, options=["fsync=on"]).url
        asyncio.run(_migrate(url))
        return url

    def database(self, name: str) -> str:
        """The URL of a SQLite file."""
        return f"sqlite:///{self.folder / name}.db"

    def receiver(self, name: str, database: str, inbox: Running, program: str = "deploywatch") -> Running:
        """A receiver that tells one channel, run by a module that is `deploywatch` or does as it does."""
        channel = {"kind": "webhook", "url": f"{inbox.url}/webhook", "secret": "of-no-importance-here"}
        return self.receiver_with(name, {"database": database, "channels": {"team": channel}}, program)

    def receiver_with(self, name: str, settings: Mapping[str, object], program: str = "deploywatch") -> Running:
        """A receiver with these settings, which knows Alertmanager and whoever reads by their tokens."""
        config, web, port = self.folder / f"{name}.yml", self.folder / "web.yml", self.processes.free_port()
        config.write_text(json.dumps(settings))
        known = [("alertmanager", TOKEN, "webhook"), ("prometheus", READER, "read"), ("pipeline", DEPLOYER, "deploy")]
        entries = [{"name": who, "token": token, "scopes": [scope]} for who, token, scope in known]
        web.write_text(json.dumps({"credentials": entries}))
        command = [sys.executable, "-m", program, "receiver", "--log.level=error", f"--config.file={config}"]
        listen = [f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={web}"]
        return servers.python_part(self.processes, name, [*command, *listen], port=port, ready="/-/ready")


async def _migrate(database: str) -> None:
    store = Store(database)
    await store.migrate()
    await store.close()


def post(load: Load) -> Seen:
    """Post it, from a process of its own."""
    command = [sys.executable, "-m", "bench.receiver.load", json.dumps(asdict(load))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Seen(**json.loads(done.stdout))


def get(server: Running, path: str) -> str:
    """The text at a path of a receiver, or of the inbox."""
    request = urllib.request.Request(server.url + path, headers={"Authorization": f"Bearer {READER}"})  # noqa: S310 - always http on loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return str(answer.read().decode())


def peak_megabytes(server: Running) -> float:
    """The most memory that the process has needed so far."""
    status = Path(f"/proc/{server.child.process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) / 1024 if peak else 0.0


def due(database: str) -> int:
    """How many jobs run or should; what waits for its time does not count."""

    def look(connection: Connection) -> int:
        overdue = and_(jobs.c.state == "ready", jobs.c.run_at <= datetime.now(UTC))
        query = select(func.count()).select_from(jobs).where(or_(jobs.c.state == "running", overdue))
        return int(connection.execute(query).scalar_one())

    async def ask() -> int:
        store = Store(database)
        counts = await store.read(look)
        await store.close()
        return counts

    return asyncio.run(ask())


def fill(database: str, count: int) -> None:
    """Store so many incidents that are over, each with two alerts, a timeline and its messages."""

    async def write() -> None:
        store = Store(database)
        await store.open()
        for first in range(0, count, _CHUNK):
            last = min(first + _CHUNK, count)
            await store.write(lambda connection, a=first, b=last: _fill(connection, a, b))  # type: ignore[misc] # mypy sees no types for the defaults
        await store.close()

    asyncio.run(write())


def _incident(number: int, now: datetime, where: dict[str, str]) -> dict[str, Any]:
    return {
        **where,
        "id": number,
        "service": f"service-{number % 1000:04}",
        "type": "errors",
        "title": "More than 1 % of the requests fail",
        "channels": ["team"],
        "opened_at": now + timedelta(seconds=10 * number),
        "resolved_at": now + timedelta(seconds=10 * number + 300),
        "resolved_by": "deploywatch",
    }


def _alert(number: int, part: int, now: datetime, where: dict[str, str]) -> dict[str, Any]:
    return {
        "fingerprint": f"old-{number:08x}-{part}",
        "starts_at": now,
        "current": True,
        "incident_id": number,
        "status": "resolved",
        "ends_at": now,
        "severity": "high",
        "labels": {"alertname": "HighErrorRate", **where},
        "annotations": {"summary": "More than 1 % of the requests fail"},
        "generator_url": "",
        "updated_at": now,
    }


def _fill(connection: Connection, first: int, last: int) -> None:
    numbers, now = range(first + 1, last + 1), datetime.now(UTC) - timedelta(days=30)
    where = {"service": "service-0001", "environment": "production", "severity": "high"}
    connection.execute(insert(incidents), [_incident(number, now, where) for number in numbers])
    connection.execute(insert(alerts), [_alert(number, part, now, where) for number in numbers for part in range(2)])
    per_service = Counter(f"service-{number % 1000:04}" for number in numbers)
    for service, rows in per_service.items():
        counters.add(connection, IncidentMetric.OPENED, service, "production", by=rows)
    counters.add(connection, IncidentMetric.RESOLVE, "high", "300.0", by=last - first)
    counters.add(connection, f"{IncidentMetric.RESOLVE}_sum", "high", by=300.0 * (last - first))
    lines = [{"incident_id": number, "at": now, "kind": "told", "actor": "deploywatch"} for number in numbers]
    connection.execute(insert(timeline), [{**line, "text": "team: a message"} for line in lines for _ in range(_LINES)])
    messages = [
        NewJob("deliver", f"old:{number}:{part}", f"deliver:{number}:team", now, incident_id=number)
        for number in numbers
        for part in range(2)
    ]
    enqueue(connection, now, *messages)
    connection.execute(
        update(jobs).where(jobs.c.incident_id.between(first + 1, last)).values(state="done", finished_at=now)
    )
