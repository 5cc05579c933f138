"""Tell people: one delivery for each channel, so that a channel that fails neither stops nor delays the others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from deploywatch import logs
from receiver.config import ReceiverConfig
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, NewJob, Outcome, again, backoff, done, enqueue, failed
from receiver.messages import Channel, DeliveryError, Event, Message, RollbackView, Story
from receiver.store import upsert
from receiver.store.schema import jobs, threads

KIND = "deliver"

log = logs.get("notify")


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
) -> None:
    """Queue a message about the incident for each of its channels; the same event with the same `once` only once."""
    for channel in incident.channels if channels is None else channels:
        if channel not in settings.channels:
            continue
        enqueue(
            connection,
            now,
            NewJob(
                kind=KIND,
                key=f"deliver:{incident.id}:{event}:{once}:{channel}",
                lane=_lane(incident.id, channel),
                run_at=now,
                incident_id=incident.id,
                payload={
                    "event": event,
                    "channel": channel,
                    "at": now.isoformat(),
                    "note": note,
                    "rollback": _pack(rollback),
                },
            ),
        )


def heard(connection: Connection, incident: Incident) -> tuple[str, ...]:
    """The incident's channels that were told, or are being told, something about it."""
    lanes = {_lane(incident.id, channel): channel for channel in incident.channels}
    found = set(connection.execute(select(jobs.c.lane).where(jobs.c.lane.in_(lanes))).scalars())
    return tuple(channel for lane, channel in lanes.items() if lane in found)


async def handle(desk: Desk, job: Job) -> Outcome:
    """Render the message and hand it to its channel; trouble that may pass is tried again, for a day."""
    name = job.payload["channel"]
    channel = desk.channels.get(name)
    if channel is None:
        return failed(f"channel {name} is no longer configured", _gave_up(desk, job, f"{name} is no longer configured"))
    if not channel.wants(Event(job.payload["event"])):
        return done(f"{name} does not tell of such events")
    message, reference = await desk.store.read(lambda connection: _compose(connection, desk, job))
    try:
        sent = await _send(channel, message, reference)
    except DeliveryError as error:
        if error.again and desk.clock() - job.created_at < desk.settings.notify.give_up_after:
            return again(str(error), max(error.after or timedelta(), backoff(job.attempts)))
        return failed(str(error), _gave_up(desk, job, f"could not tell {name}: {error}"))
    return done(message.title, _delivered(desk, job, message, reference, sent))


async def _send(channel: Channel, message: Message, reference: str | None) -> str | None:
    """Hand the message over; a fault of the channel's code is a failed delivery too, so that it ends some day."""
    try:
        return await channel.send(message, reference)
    except DeliveryError:
        raise
    except Exception as error:
        log.exception("a channel broke", event_told=message.event, incident=message.incident.id)
        raise DeliveryError("internal", type(error).__name__, again=True) from error


def _lane(incident_id: int, channel: str) -> str:
    return f"deliver:{incident_id}:{channel}"


def _compose(connection: Connection, desk: Desk, job: Job) -> tuple[Message, str | None]:
    incident = book.get(connection, job.incident_id)
    story = Story(
        event=Event(job.payload["event"]),
        at=datetime.fromisoformat(job.payload["at"]),
        incident=incident.view(desk.settings.external_url),
        alerts=book.alerts_of(connection, incident.id),
        rollback=_unpack(job.payload["rollback"]),
        note=job.payload["note"],
    )
    query = select(threads.c.reference).where(
        threads.c.incident_id == incident.id, threads.c.channel == job.payload["channel"]
    )
    return desk.templates.render(story), connection.execute(query).scalar()


def _delivered(desk: Desk, job: Job, message: Message, reference: str | None, sent: str | None) -> Any:
    name = job.payload["channel"]

    def record(connection: Connection) -> None:
        if sent and sent != reference:
            upsert(connection, threads, [{"incident_id": job.incident_id, "channel": name, "reference": sent}])
        book.write_line(connection, job.incident_id, desk.clock(), "told", f"{name}: {message.title}")

    return record


def _gave_up(desk: Desk, job: Job, text: str) -> Any:
    return lambda connection: book.write_line(connection, job.incident_id, desk.clock(), "not_told", text)


def _pack(rollback: RollbackView | None) -> dict[str, Any] | None:
    if rollback is None:
        return None
    seconds = rollback.duration.total_seconds() if rollback.duration is not None else None
    return {
        "from_version": rollback.from_version,
        "to_version": rollback.to_version,
        "reason": rollback.reason,
        "detail": rollback.detail,
        "duration": seconds,
    }


def _unpack(packed: dict[str, Any] | None) -> RollbackView | None:
    if packed is None:
        return None
    seconds = packed["duration"]
    return RollbackView(**{**packed, "duration": timedelta(seconds=seconds) if seconds is not None else None})
