"""Reads what a receiver's store says after a storm, and what people heard; what does not fit together is a fault."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from receiver.store import Store
from receiver.store.schema import alerts, incidents, jobs, rollbacks, timeline
from tests.support.storm import Sent

Row = Mapping[str, Any]
Told = tuple[int, str, datetime, str]
"""A message: incident, event, when it was queued, channel."""

_SOON = timedelta(minutes=1)
"""What is to be done later, such as a reminder that a review is due, is no part of a storm."""


@dataclass(frozen=True, slots=True)
class Books:
    """Everything in the store that counts, and what arrived in each channel's inbox and from the rollback command."""

    alerts: Sequence[Row]
    incidents: Sequence[Row]
    jobs: Sequence[Row]
    rollbacks: Sequence[Row]
    timeline: Sequence[Row]
    at: datetime
    told: Mapping[Told, int] = field(default_factory=dict)
    commands: Sequence[str] = ()

    @property
    def waiting(self) -> list[str]:
        """The jobs that run, or are to run soon."""
        soon = self.at + _SOON
        return [
            job["key"]
            for job in self.jobs
            if job["state"] == "running" or (job["state"] == "ready" and job["run_at"] <= soon)
        ]

    @property
    def tries(self) -> Mapping[Told, tuple[int, int]]:
        """Of each message how many were to be told, and how often that was tried."""
        found: dict[Told, tuple[int, int]] = {}
        for job in self.jobs:
            if job["kind"] == "deliver":
                told = job["payload"]
                key = (job["incident_id"], told["event"], datetime.fromisoformat(told["at"]), told["channel"])
                wanted, tried = found.get(key, (0, 0))
                found[key] = (wanted + 1, tried + job["attempts"])
        return found


def read(url: str, inboxes: Mapping[str, Path], commands: Path) -> Books:
    """Read the books; `inboxes` are the files of messages by channel, `commands` what rollbacks wrote, line by line."""

    async def look() -> Books:
        store = Store(url)
        try:
            return await store.read(_rows)
        finally:
            await store.close()

    stored = asyncio.run(look())
    told = Counter(key for channel, file in inboxes.items() for key in _messages(channel, file))
    return replace(stored, told=told, commands=_lines(commands))


def _rows(connection: Connection) -> Books:
    def every(table: Table) -> list[Row]:
        return [dict(row) for row in connection.execute(select(table)).mappings()]

    return Books(every(alerts), every(incidents), every(jobs), every(rollbacks), every(timeline), datetime.now(UTC))


def _messages(channel: str, file: Path) -> Iterator[Told]:
    for line in _lines(file):
        raw = json.loads(line)["raw"]
        yield raw["incident"]["id"], raw["event"], datetime.fromisoformat(raw["at"]), channel


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def faults(books: Books, sent: Iterable[Sent]) -> list[str]:
    """Every sentence tells of something lost, doubled or left over."""
    return [fault for check in _CHECKS for fault in check(books)] + lost(books, sent)


def lost(books: Books, sent: Iterable[Sent]) -> list[str]:
    """Alerts whose state in the store is not what was sent last."""
    current = defaultdict(list)
    for row in books.alerts:
        if row["current"]:
            current[row["labels"]["service"], row["labels"]["alertname"]].append(row)
    found = []
    for one in sent:
        rows, where = current[one.service, one.name], f"{one.name} of {one.service}"
        wanted = "resolved" if one.ends_at else "firing"
        if len(rows) != 1:
            found.append(f"{where} has {len(rows)} current episodes")
        elif rows[0]["status"] != wanted or (wanted == "firing" and rows[0]["starts_at"] != one.starts_at):
            found.append(f"{where} is {rows[0]['status']} since {rows[0]['starts_at']}, not {wanted} as {one}")
    return found


def _overlapping(books: Books) -> Iterator[str]:
    """One incident after another for a service; none without an alert of its own, none opened or resolved twice."""
    owners = {row["incident_id"] for row in books.alerts}
    lines = Counter((row["incident_id"], row["kind"]) for row in books.timeline)
    last: dict[tuple[str, str], Row] = {}
    for row in sorted(books.incidents, key=lambda row: row["id"]):
        before, where = last.get((row["service"], row["environment"])), f"incident {row['id']} of {row['service']}"
        if before and (before["resolved_at"] is None or before["resolved_at"] > row["opened_at"]):
            yield f"{where} opened while incident {before['id']} was open"
        if row["id"] not in owners:
            yield f"{where} has no alert of its own"
        for kind in ("opened", "resolved"):
            if lines[row["id"], kind] != (1 if kind == "opened" or row["resolved_at"] else 0):
                yield f"{where} was {kind} {lines[row['id'], kind]} times"
        last[row["service"], row["environment"]] = row


def _rolled_back_twice(books: Books) -> Iterator[str]:
    """A command runs once for a rollback that began; one whose end nobody saw may not have run, and is told."""
    ran = Counter(books.commands)
    began = Counter(f"{row['service']} {row['from_version']}" for row in books.rollbacks)
    lines = Counter((row["incident_id"], row["kind"]) for row in books.timeline)
    unknown = {(row["incident_id"]) for row in books.timeline if row["kind"] == "rollback_unknown"}
    yield from (f"rolled back {count} times: {line}" for line, count in ran.items() if count > 1)
    yield from (f"{count} rollbacks began: {line}" for line, count in began.items() if count > 1)
    yield from (f"rolled back without a word: {line}" for line in ran.keys() - began.keys())
    for row in books.rollbacks:
        what = f"{row['service']} {row['from_version']}"
        if row["state"] != "verified":
            yield f"the rollback of {what} is {row['state']}: {row['detail']}"
        if ran[what] != 1 and row["incident_id"] not in unknown:
            yield f"the rollback of {what} ran {ran[what]} times, and nobody was told that this is unknown"
    of_incident = Counter(row["incident_id"] for row in books.rollbacks)
    for number, count in of_incident.items():
        if lines[number, "rollback_started"] != count:
            yield f"incident {number}: {count} rollbacks, {lines[number, 'rollback_started']} told as started"


def _untold(books: Books) -> Iterator[str]:
    """Each message at least once, and no more often than it was tried: once, and once more for each interruption."""
    tries = books.tries
    for key, (wanted, tried) in tries.items():
        count = books.told.get(key, 0)
        if not wanted <= count <= tried:
            yield f"{key}: wanted {wanted}, arrived {count} times, tried {tried} times"
    yield from (f"{key}: arrived and was never queued" for key in books.told.keys() - tries.keys())
    events = {(incident, event) for incident, event, _, _ in tries}
    for row in books.incidents:
        for event in ("opened", "resolved") if row["resolved_at"] else ("opened",):
            if (row["id"], event) not in events:
                yield f"incident {row['id']}: nobody was to be told that it {event}"
    unknown = {row["incident_id"] for row in books.timeline if row["kind"] == "rollback_unknown"}
    yield from (f"incident {n}: unknown, untold" for n in unknown if (n, "rollback_unknown") not in events)


def _noted_twice(books: Books) -> Iterator[str]:
    """What was done has one line on the timeline, however often it was begun."""
    noted = Counter(row["incident_id"] for row in books.timeline if row["kind"] == "told")
    done = Counter(row["incident_id"] for row in books.jobs if row["kind"] == "deliver" and row["state"] == "done")
    for number in noted.keys() | done.keys():
        if noted[number] != done[number]:
            yield f"incident {number}: {done[number]} messages done, {noted[number]} on the timeline"


def _left_over(books: Books) -> Iterator[str]:
    yield from (f"the job {key} waits" for key in books.waiting)
    yield from (f"the job {job['key']} failed: {job['note']}" for job in books.jobs if job["state"] == "failed")


_CHECKS: tuple[Callable[[Books], Iterator[str]], ...] = (
    _overlapping,
    _rolled_back_twice,
    _untold,
    _noted_twice,
    _left_over,
)


def summary(books: Books) -> str:
    """The counts in one line."""
    arrived = Counter(min(count, 3) for count in books.told.values())
    unknown = sum(row["kind"] == "rollback_unknown" for row in books.timeline)
    return (
        f"{len(books.alerts)} episodes, {len(books.incidents)} incidents, "
        f"{len(books.rollbacks)} rollbacks ({len(books.commands)} commands ran, {unknown} unknown for a while), "
        f"{sum(books.told.values())} messages (once {arrived[1]}, twice {arrived[2]}, more often {arrived[3]}), "
        f"{sum(job['attempts'] > 1 for job in books.jobs)} jobs taken up again"
    )
