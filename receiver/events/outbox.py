"""The outbox: an event is written in the transaction that makes its fact, with a job for each sink.

Of one sink, the events of a service in an environment are delivered one after another, in their order. Without sinks
nothing is written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, func, select, update

from deploywatch.quantity import format_duration
from deploywatch.receiver.events.cloudevent import StoredEvent
from deploywatch.receiver.events.facts import Fact
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.jobs.job import NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.event_schema import events
from deploywatch.receiver.store.schema import jobs

KIND: Final = "event"
LATE: Final = timedelta(minutes=10)
"""After so long people are told that a sink does not take an event."""
HISTORY: Final = timedelta(days=1)
"""What happened longer ago is the record of something old, which is no news to anybody."""


def emit(connection: Connection, settings: ReceiverConfig, fact: Fact, now: datetime) -> None:
    """Write the event of a fact, and queue it for every sink; of what is longer ago than HISTORY, nothing."""
    if not settings.events.sinks or fact.at < now - HISTORY:
        return
    row = {
        "at": fact.at,
        "recorded_at": now,
        "type": str(fact.type),
        "source": source_of(settings),
        "service": fact.service,
        "environment": fact.environment,
        "subject": fact.subject,
        "data": {"content": dict(fact.content), "custom": dict(fact.custom)},
    }
    number = insert_id(connection, events, row)
    deliveries = [
        NewJob(
            kind=KIND,
            key=f"{KIND}:{number}:{sink}",
            # In order for each service, as Kafka's key has it; services do not wait for each other.
            serial_key=f"{KIND}:{sink}:{fact.service}/{fact.environment}",
            queue=queue_of(sink),
            run_at=now,
            urgency=Urgency.LOW,
            payload={"event": number, "sink": sink},
        )
        for sink in settings.events.sinks
    ]
    enqueue(connection, now, *deliveries)


def source_of(settings: ReceiverConfig) -> str:
    """Who says so: the `source` of our events."""
    return settings.events.source or settings.external_url or "/deploywatch"


def find(connection: Connection, number: int) -> StoredEvent | None:
    """One event, or None when it was forgotten."""
    row = connection.execute(select(events).where(events.c.id == number)).mappings().one_or_none()
    return _event(row) if row else None


def newest(connection: Connection, service: str, environment: str, kind: EventType) -> StoredEvent | None:
    """The newest event of a type about a service in an environment."""
    query = select(events).where(
        events.c.service == service, events.c.environment == environment, events.c.type == str(kind)
    )
    row = connection.execute(query.order_by(events.c.id.desc()).limit(1)).mappings().first()
    return _event(row) if row else None


def try_again_now(connection: Connection, now: datetime) -> None:
    """Have everything that waits for another try sent at once: a sink may be configured otherwise now."""
    waiting = (jobs.c.kind == KIND, jobs.c.state == State.READY, jobs.c.run_at > now)
    connection.execute(update(jobs).where(*waiting).values(run_at=now))


def waiting(connection: Connection) -> list[tuple[str, int, datetime]]:
    """Of each sink that has not taken all: how many events wait, and since when the oldest."""
    query = (
        select(jobs.c.queue, func.count(), func.min(jobs.c.created_at))
        .where(jobs.c.state.in_((State.READY, State.RUNNING)), jobs.c.kind == KIND)
        .group_by(jobs.c.queue)
        .order_by(jobs.c.queue)
    )
    return [(sink_of(queue), count, since) for queue, count, since in connection.execute(query)]


def trouble(connection: Connection, now: datetime) -> list[str]:
    """What people should know of events that did not arrive: a sentence each."""
    # Failed for good, which no queue shows any more: it is said for a day.
    lost = (
        select(jobs.c.queue, func.count(), func.max(jobs.c.finished_at))
        .where(jobs.c.kind == KIND, jobs.c.state == State.FAILED, jobs.c.finished_at >= now - HISTORY)
        .group_by(jobs.c.queue)
        .order_by(jobs.c.queue)
    )
    troubles = [
        f"{count} event{'s' if count > 1 else ''} for {sink_of(queue)} given up within a day, last at {at:%H:%M} UTC"
        for queue, count, at in connection.execute(lost)
    ]
    return troubles + [
        f"{count} event{'s' if count > 1 else ''} for {sink} waiting, the oldest for {format_duration(now - since)}"
        for sink, count, since in waiting(connection)
        if now - since >= LATE
    ]


def queue_of(sink: str) -> str:
    """A sink has its own queue, so that one that hangs delays no other."""
    return f"{KIND}:{sink}"


def sink_of(queue: str) -> str:
    """The sink that a queue of events belongs to."""
    return queue.removeprefix(f"{KIND}:")


def _event(row: RowMapping) -> StoredEvent:
    return StoredEvent(**{**row, "type": EventType(row["type"])})
