"""Queues a message about an incident: one delivery for each channel, so that none stops or delays another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from deploywatch.receiver.incidents import urgency
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue, hurry
from deploywatch.receiver.notify.packing import packed
from deploywatch.receiver.notify.unsent import has_told
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event, RollbackView
from deploywatch.receiver.suppression import gate, holding

# What begins waits for the end of a silent window; the end of what people heard of is told all the same.
NEWS = frozenset({Event.OPENED, Event.WORSENED, Event.DEGRADATION})
# What says that there is trouble: whoever was told one of these knows.
_OF_TROUBLE = NEWS | {Event.ESCALATED, Event.REMINDER}
KIND = "deliver"
AGAIN_PREFIX = "again:"
"""Begins the keys of messages that a channel has refused: they wait for somebody to mend it, and block nothing."""
OUTSIDE_HEARS = frozenset({Event.ESCALATED, Event.RESOLVED})
"""What somebody outside is told: that they are asked, and the end."""


def tell(
    connection: Connection,
    settings: ReceiverConfig,
    incident: Incident,
    event: Event,
    now: datetime,
    *,
    once: object = "",
    note: str = "",
    rollback: RollbackView | None = None,
    channels: Iterable[str] | None = None,
    more: Mapping[str, datetime | timedelta | str | None] | None = None,
) -> None:
    """Queue a message about the incident for each of its channels; the same event with the same `once` only once.

    `more` are further fields of the Story, such as `expires` or `eta`.
    """
    channels = tuple(incident.channels if channels is None else channels)
    # Here, and not when it is sent: what was never queued cannot be told by mistake later.
    if event not in OUTSIDE_HEARS:
        channels = tuple(name for name in channels if name not in settings.outside_channels)
    ruling = gate.look(connection, settings, incident, now, asker=gate.Asker.TELLS) if event in NEWS else gate.GO
    if channels and ruling.hold:
        hold = ruling.hold
        holding.keep_message(connection, hold, incident, now, event=event, once=once, note=note, channels=channels)
        return
    payload = packed(event, now, note=note, rollback=rollback, more=more or {})
    soon = Urgency.NORMAL if event is Event.UPDATE else urgency.of(incident.severity)
    if event is Event.WORSENED:
        # What was to be said before goes out before it.
        hurry(connection, [serial_key_of(incident.id, channel) for channel in channels], soon)
    for channel in channels:
        if channel not in settings.channels:
            continue
        enqueue(
            connection,
            now,
            NewJob(
                kind=KIND,
                key=f"deliver:{incident.id}:{event}:{once}:{channel}",
                serial_key=serial_key_of(incident.id, channel),
                queue=queue_of(channel),
                urgency=soon,
                run_at=now,
                incident_id=incident.id,
                payload={**payload, "channel": channel},
            ),
        )


def heard(connection: Connection, incident: Incident) -> tuple[str, ...]:
    """The incident's channels that something about it was queued for.

    Also where it was refused since: that may have arrived all the same, or be sent yet, and then they hear the end.
    """
    serial_keys = {serial_key_of(incident.id, channel): channel for channel in incident.channels}
    queued = set(connection.execute(select(jobs.c.serial_key).where(jobs.c.serial_key.in_(serial_keys))).scalars())
    return tuple(channel for serial_key, channel in serial_keys.items() if serial_key in queued)


def is_told(connection: Connection, incident: Incident) -> bool:
    """Whether somebody was told of the incident's trouble, or is just being told for the first time.

    A channel that refuses, or could not be reached so far, has told nobody.
    """
    query = select(jobs.c.payload, jobs.c.key, jobs.c.state, jobs.c.attempts, jobs.c.reason).where(
        jobs.c.incident_id == incident.id, jobs.c.kind == KIND, jobs.c.state != State.FAILED
    )
    for payload, key, state, attempts, reason in connection.execute(query):
        if payload["event"] not in _OF_TROUBLE:
            continue
        first = attempts == (1 if state == State.RUNNING else 0) and not key.startswith(AGAIN_PREFIX)
        if has_told(state, reason) or (first and state != State.DONE):
            return True
    return False


def queue_of(channel: str) -> str:
    """A channel has its own queue, so that one that hangs delays no other."""
    return f"{KIND}:{channel}"


def channel_of(queue: str) -> str:
    """The channel that a queue of deliveries belongs to."""
    return queue.removeprefix(f"{KIND}:")


def serial_key_of(incident_id: int, channel: str) -> str:
    return f"deliver:{incident_id}:{channel}"
