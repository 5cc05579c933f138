"""Reads what a receiver's store says after a storm, and what people heard; what does not fit together is a fault."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from deploywatch.receiver.channels.pagerduty.channel import ACTIONS
from deploywatch.receiver.channels.slack.channel import UPDATES_ONLY
from deploywatch.receiver.escalation.timers import REMINDERS
from deploywatch.receiver.messages import identity
from deploywatch.receiver.rendering.dedup_key import dedup_key
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.schema import alerts, incidents, jobs, timeline
from deploywatch.receiver.story import Event, IncidentView
from tests.support import arrivals
from tests.support.arrivals import Arrivals, Page
from tests.support.storm import SLACK_CHANNELS, Sent

Row = Mapping[str, Any]
PAGER = "pager"
"""The channel that is PagerDuty."""

_MOOT = REMINDERS | {"joined", "outlived"}
"""Kinds of jobs that find nothing to do once the incident is resolved."""
_AGAIN_AND_AGAIN = {"assess_deployment"}
"""Kinds of jobs that come back every few minutes for as long as there is something to watch."""
_SOON = timedelta(minutes=1)
"""What is to be done later, such as a reminder that a review is due, is no part of a storm."""


@dataclass(frozen=True, slots=True)
class Books:
    """Everything in the store that counts, what arrived at whom, and what the rollback command did."""

    alerts: Sequence[Row]
    incidents: Sequence[Row]
    jobs: Sequence[Row]
    rollbacks: Sequence[Row]
    timeline: Sequence[Row]
    at: datetime
    arrived: Arrivals = field(default_factory=Arrivals)
    commands: Sequence[str] = ()

    @property
    def waiting(self) -> list[str]:
        """The jobs that run, or are to run soon; not those that find their incident over."""
        soon, over = self.at + _SOON, {row["id"] for row in self.incidents if row["resolved_at"]}
        moot = [job["key"] for job in self.jobs if job["kind"] in _MOOT and job["incident_id"] in over]
        return [
            job["key"]
            for job in self.jobs
            if job["state"] == "running"
            or (
                job["state"] == "ready"
                and job["run_at"] <= soon
                and job["key"] not in moot
                and job["kind"] not in _AGAIN_AND_AGAIN
            )
        ]

    @property
    def deliveries(self) -> list[Row]:
        """The jobs that tell somebody."""
        return [job for job in self.jobs if job["kind"] == "deliver"]

    @property
    def handed_over(self) -> set[str]:
        """The deliveries of which nobody knows whether they came, and which the channel's stand-in took over."""
        instead = {job["key"].partition(":instead:")[0] for job in self.deliveries if ":instead:" in job["key"]}
        return {
            job["key"] for job in self.deliveries if job["state"] == "failed" and job["uncertain_attempts"] > 1
        } & instead


def read(url: str, inbox: Path, commands: Path) -> Books:
    """Read the books; `inbox` is the file of what arrived, `commands` of what rollbacks wrote, line by line."""

    async def look() -> Books:
        store = Store(url)
        try:
            return await store.read(_rows)
        finally:
            await store.close()

    stored = asyncio.run(look())
    ran = commands.read_text().splitlines() if commands.exists() else []
    return replace(stored, arrived=arrivals.read(inbox), commands=ran)


def _rows(connection: Connection) -> Books:
    def every(table: Table) -> list[Row]:
        rows = connection.execute(select(table))
        return [dict(zip(table.columns.keys(), row, strict=True)) for row in rows]

    return Books(every(alerts), every(incidents), every(jobs), every(rollbacks), every(timeline), datetime.now(UTC))


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
    for each in sent:
        rows, where = current[each.service, each.name], f"{each.name} of {each.service}"
        wanted = "resolved" if each.ends_at else "firing"
        if len(rows) != 1:
            found.append(f"{where} has {len(rows)} current episodes")
        elif rows[0]["status"] != wanted or (wanted == "firing" and rows[0]["starts_at"] != each.starts_at):
            found.append(f"{where} is {rows[0]['status']} since {rows[0]['starts_at']}, not {wanted} as {each}")
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


def _unsaid(job: Row) -> bool:
    """Whether the job ended without a message, as its channel does not tell of such events, or was told already."""
    reasons = ("does not tell of such", "was called as it", "had been told nothing newer")
    return job["state"] == "done" and any(why in job["note"] for why in reasons)


def _only_changes(job: Row) -> bool:
    """Whether the message only changes the first one of the incident, as Slack's of what goes well do."""
    return job["payload"]["channel"] in SLACK_CHANNELS and Event(job["payload"]["event"]) in UPDATES_ONLY


def _untold(books: Books) -> Iterator[str]:
    """Each message at least once and at most twice, each event to PagerDuty at least once, nothing else.

    At least once, by its channel or by the one that stands in for it; not at all where it is not to be sent. Nobody
    stands in for who stands in: that message may come a third time, as it must not be lost.
    """
    keys = {row["id"]: _dedup_key(row) for row in books.incidents}
    names, handed_over = set(), books.handed_over
    for job in books.deliveries:
        told, key, unsaid = job["payload"], keys[job["incident_id"]], _unsaid(job)
        if told["channel"] == PAGER:
            if unsaid:
                continue
            page = _page(told["event"], told["at"])
            if page and not any(page in pages for pages in _pages(books, job["incident_id"], key)):
                yield f"{job['key']}: PagerDuty never heard of it"
            continue
        names.add(name := identity(key, job["key"]))
        count = books.arrived.count(name)
        least = 0 if job["key"] in handed_over or unsaid or _only_changes(job) else 1
        most = 0 if unsaid else 3 if ":instead:" in job["key"] else 2
        if not least <= count <= most:
            yield f"{job['key']}: arrived {count} times, tried {job['attempts']} times, {job['note']}"
    yield from (f"message {name} arrived and was never queued" for name in books.arrived.names - names)
    named = {name for number, key in keys.items() for name in _names(books, number, key)}
    yield from (f"PagerDuty has an alert of its own: {key}" for key in books.arrived.pages.keys() - named)


def _unqueued(books: Books) -> Iterator[str]:
    events = {(job["incident_id"], job["payload"]["event"]) for job in books.deliveries}
    for row in books.incidents:
        for event in ("opened", "resolved") if row["resolved_at"] else ("opened",):
            if (row["id"], event) not in events:
                yield f"incident {row['id']}: nobody was to be told that it {event}"
    unknown = {row["incident_id"] for row in books.timeline if row["kind"] == "rollback_unknown"}
    yield from (f"incident {n}: unknown, untold" for n in unknown if (n, "rollback_unknown") not in events)


def _paged_late(books: Books) -> Iterator[str]:
    """What PagerDuty heard last of an incident is what was queued last; later repetitions would open an alert anew."""
    last: dict[int, Page] = {}
    for job in sorted(books.deliveries, key=lambda job: job["id"]):
        page = _page(job["payload"]["event"], job["payload"]["at"])
        if job["payload"]["channel"] == PAGER and page and not _unsaid(job):
            last[job["incident_id"]] = page
    for row in books.incidents:
        pages = _pages(books, row["id"], _dedup_key(row))
        if row["id"] in last and pages and pages[-1][-1] != last[row["id"]]:
            yield f"incident {row['id']}: PagerDuty was told last to {pages[-1][-1]}, not {last[row['id']]}"
        if row["resolved_at"] and any(page[-1].action != "resolve" for page in pages[:-1]):
            yield f"incident {row['id']} is over, and PagerDuty has an earlier alert of it open"


def _names(books: Books, incident_id: int, key: str) -> tuple[str, ...]:
    """The name that an incident has first in PagerDuty, and those of its worse times, as they were queued."""
    worse = [
        identity(key, job["payload"].get("again_of", job["key"]))[:8]
        for job in sorted(books.deliveries, key=lambda job: job["id"])
        if job["incident_id"] == incident_id
        and job["payload"]["channel"] == PAGER
        and job["payload"]["event"] == Event.WORSENED
    ]
    return (key, *(f"{key}-{name}" for name in worse))


def _pages(books: Books, incident_id: int, key: str) -> list[Sequence[Page]]:
    """What PagerDuty heard of an incident under each of its names, the first one first."""
    return [pages for name in _names(books, incident_id, key) if (pages := books.arrived.pages.get(name, ()))]


def _dedup_key(row: Row) -> str:
    return dedup_key(IncidentView(row["id"], row["service"], row["environment"], "", "", "", "", row["opened_at"]))


def _page(event: str, at: str) -> Page | None:
    """How PagerDuty is told of an event; None when it is not."""
    action = ACTIONS[Event(event)]
    if action is None:
        return None
    return Page(action, event, arrivals.parsed(at)) if action == "trigger" else Page(action)


def _noted_twice(books: Books) -> Iterator[str]:
    """What was done has one line on the timeline, however often it was begun."""
    noted = Counter(row["incident_id"] for row in books.timeline if row["kind"] == "told")
    done = Counter(job["incident_id"] for job in books.deliveries if job["state"] == "done" and not _unsaid(job))
    for number in noted.keys() | done.keys():
        if noted[number] != done[number]:
            yield f"incident {number}: {done[number]} messages done, {noted[number]} on the timeline"


def _left_over(books: Books) -> Iterator[str]:
    yield from (f"the job {key} waits" for key in books.waiting)
    handed_over = books.handed_over
    failed = (job for job in books.jobs if job["state"] == "failed" and job["key"] not in handed_over)
    yield from (f"the job {job['key']} failed: {job['note']}" for job in failed)


_CHECKS: tuple[Callable[[Books], Iterator[str]], ...] = (
    _overlapping,
    _rolled_back_twice,
    _untold,
    _unqueued,
    _paged_late,
    _noted_twice,
    _left_over,
)


def summary(books: Books) -> str:
    """The counts in one line."""
    unknown = sum(row["kind"] == "rollback_unknown" for row in books.timeline)
    healed = sum(row["kind"] == "healed" for row in books.timeline)
    in_doubt = sum(job["uncertain_attempts"] > 0 for job in books.deliveries)
    return (
        f"{len(books.alerts)} episodes, {len(books.incidents)} incidents, "
        f"{len(books.rollbacks)} rollbacks ({len(books.commands)} commands ran, {unknown} unknown for a while), "
        f"{healed} alerts healed, {in_doubt} messages were in doubt; "
        f"arrived: {books.arrived}"
    )
