"""Notifications: one delivery for each channel, so that a channel that fails neither stops nor delays the others."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from deploywatch import logs
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import timeline, urgency
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.jobs.job import Job, NewJob, State, Urgency
from deploywatch.receiver.jobs.queue import enqueue, enqueue_new, hurry, job_key, mark_uncertain
from deploywatch.receiver.jobs.retry import SOONEST, Outcome, backoff, done, failed, retry
from deploywatch.receiver.messages import (
    Channel,
    DeliveryError,
    Event,
    Message,
    PartlyDeliveredError,
    RollbackView,
    identity,
)
from deploywatch.receiver.notify import compose, stand_in, taking_link
from deploywatch.receiver.notify.packing import packed
from deploywatch.receiver.notify.uncertain_delivery import PATIENCE, Step, decide
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Known, insert_later
from deploywatch.receiver.store.schema import jobs, threads
from deploywatch.receiver.suppression import gate, holding

# What begins waits for the end of a silent window; the end of what people heard of is told all the same.
_NEWS = frozenset({Event.OPENED, Event.WORSENED, Event.DEGRADATION})
KIND = "deliver"
OUTSIDE_HEARS = frozenset({Event.ESCALATED, Event.RESOLVED})
"""What somebody outside is told: that they are asked, and the end."""
DEGRADED = "performance_degradation"
"""The incident type of what is slower or worse than before and does not call for a page."""
_AGAIN = "again:"
"""Begins the keys of messages that a channel has refused: they wait for somebody to mend it, and block nothing."""
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
    more: Mapping[str, datetime | timedelta | str | None] | None = None,
) -> None:
    """Queue a message about the incident for each of its channels; the same event with the same `once` only once.

    `more` are further fields of the Story, such as `expires` or `eta`.
    """
    channels = tuple(incident.channels if channels is None else channels)
    if event not in OUTSIDE_HEARS:
        channels = tuple(name for name in channels if name not in settings.outside_channels)
    ruling = gate.look(connection, settings, incident, now, asker=gate.Asker.TELLS) if event in _NEWS else gate.GO
    if channels and ruling.hold:
        hold = ruling.hold
        holding.keep_message(connection, hold, incident, now, event=event, once=once, note=note, channels=channels)
        return
    payload = packed(event, now, note=note, rollback=rollback, more=more or {})
    soon = Urgency.NORMAL if event is Event.UPDATE else urgency.of(incident.severity)
    if event is Event.WORSENED:
        # What was to be said before goes out before it.
        hurry(connection, [_serial_key(incident.id, channel) for channel in channels], soon)
    for channel in channels:
        if channel not in settings.channels:
            continue
        enqueue(
            connection,
            now,
            NewJob(
                kind=KIND,
                key=f"deliver:{incident.id}:{event}:{once}:{channel}",
                serial_key=_serial_key(incident.id, channel),
                queue=queue_of(channel),
                urgency=soon,
                run_at=now,
                incident_id=incident.id,
                payload={**payload, "channel": channel},
            ),
        )


def heard(connection: Connection, incident: Incident) -> tuple[str, ...]:
    """The incident's channels that were told, or are being told, something about it."""
    serial_keys = {_serial_key(incident.id, channel): channel for channel in incident.channels}
    queued = set(connection.execute(select(jobs.c.serial_key).where(jobs.c.serial_key.in_(serial_keys))).scalars())
    return tuple(channel for serial_key, channel in serial_keys.items() if serial_key in queued)


async def handle(context: Context, job: Job) -> Outcome:
    """Render the message and hand it to its channel; trouble that may pass is tried again, for a day."""
    name = job.payload["channel"]
    channel = context.channels.get(name)
    if channel is None:
        gone = _gave_up(context, job, f"{name} is no longer configured")
        return failed(f"channel {name} is no longer configured", gone, reason="not_configured")
    event = Event(job.payload["event"])
    if event is Event.ESCALATED and await context.store.read(lambda c: _told_with_the_opening(c, job)):
        return Outcome(State.DONE, f"{name} was called as it opened", reason="told_already")
    if not channel.wants(event):
        return Outcome(State.DONE, f"{name} does not tell of such events", reason="not_wanted")
    composed = await compose.of(context, job)
    if outdated := _outdated(job, composed.message):
        return Outcome(State.DONE, outdated, record=_not_any_more(context, job, outdated), reason="outdated")
    message = taking_link.added(context.settings, _named(composed.message, job), name)
    reference = composed.references.get(name)
    try:
        if job.uncertain_attempts and (outcome := await _in_doubt(context, job, channel, message, reference)):
            return outcome
        sent = await _unbroken(channel.send(message, reference), message)
    except PartlyDeliveredError as error:
        return _partly_sent(context, job, message, reference, error)
    except DeliveryError as error:
        return await _not_sent(context, job, error)
    return done(message.title, _delivered(context, job, message, reference, sent))


def _told_with_the_opening(connection: Connection, job: Job) -> bool:
    """Whether it escalates at once what the channel has just been told: one call is enough.

    Only where that message has arrived: else this one is the call.
    """
    start = f"{KIND}:{job.incident_id}:{Event.ESCALATED}:"
    if not job.key.startswith(start):
        return False
    openings = [job_key(f"{KIND}:{job.incident_id}:{event}:{job.key.removeprefix(start)}") for event in _NEWS]
    query = select(jobs.c.id).where(jobs.c.key.in_(openings), jobs.c.state == State.DONE)
    return connection.execute(query.limit(1)).first() is not None


def try_refused_again(connection: Connection, now: datetime) -> None:
    """Have what channels have refused tried now: their settings may have been mended."""
    waiting = (jobs.c.kind == KIND, jobs.c.state == State.READY, jobs.c.key.startswith(_AGAIN), jobs.c.run_at > now)
    connection.execute(update(jobs).where(*waiting).values(run_at=now))


def _named(message: Message, job: Job) -> Message:
    """The message with a name that stays the same from try to try, whatever its words are by then."""
    name = identity(message.dedup_key, job.payload.get("again_of", job.key))
    return replace(message, id=name, recipient=job.payload.get("recipient", ""))


def _outdated(job: Job, message: Message) -> str:
    """Why a message that was refused is not told any more; an empty text while it is of use."""
    if not job.key.startswith(_AGAIN) or message.incident.resolved_at is None:
        return ""
    return "" if message.event is Event.RESOLVED else "the incident was over before the channel worked again"


def _not_any_more(context: Context, job: Job, why: str) -> Any:
    text = f"{job.payload['channel']} is not told of {job.payload['event']} any more: {why}"
    return lambda connection: timeline.write(connection, job.incident_id, context.clock(), Kind.NOT_TOLD, text)


async def _in_doubt(
    context: Context, job: Job, channel: Channel, message: Message, reference: str | None
) -> Outcome | None:
    """Settle an earlier sending that was cut off: ask whether it arrived, or decide without; None: send it now.

    DeliveryError when the channel cannot be asked just now.
    """
    name, age = job.payload["channel"], context.clock() - job.created_at
    try:
        arrived = await _unbroken(channel.find(message, reference), message)
        uncertain_attempts = 1
    except DeliveryError as error:
        if error.again and age < PATIENCE:
            raise
        stood, stand_in = context.clock() - context.started_at, _stand_in(context, job) is not None
        verdict, arrived, uncertain_attempts = (
            decide(job.uncertain_attempts, stood=stood, age=age, stand_in=stand_in),
            None,
            job.uncertain_attempts + 1,
        )
        if verdict.step is Step.WAIT:
            return retry(f"{name} may have been told when the receiver stopped", verdict.after, reason="in_doubt")
        if verdict.step is Step.STAND_IN:
            text = f"whether {name} was told is unknown: the receiver stopped each of {job.uncertain_attempts} times"
            return failed(text, _gave_up(context, job, text, kind=Kind.UNKNOWN_WHETHER_TOLD), reason="in_doubt")
    if arrived is not None:
        return done(message.title, _delivered(context, job, message, reference, arrived, how="; it had arrived"))
    if not await context.store.write(lambda connection: mark_uncertain(connection, job, uncertain_attempts)):
        return retry("another replica has it", timedelta())
    return None


async def _not_sent(context: Context, job: Job, error: DeliveryError) -> Outcome:
    """Retry a failed delivery later, or give it up; where it may have arrived all the same, the next try knows."""
    age, trouble, settings = context.clock() - job.created_at, str(error), context.settings.notify
    text = f"could not tell {_whom(job)}: {trouble}"
    if age >= settings.give_up_after:
        return failed(trouble, _gave_up(context, job, text), reason=error.reason)
    if not error.again:
        log.error(
            "a channel refuses a message",
            channel=job.payload["channel"],
            incident=job.incident_id,
            reason=error.reason,
            detail=error.detail,
        )
        if job.key.startswith(_AGAIN):
            return retry(trouble, settings.refused_again_after, reason=error.reason)
        return failed(trouble, _refused(context, job, text), reason=error.reason)
    if age >= context.settings.notify.fall_back_after:
        await context.store.write(lambda connection: _fall_back(connection, context, job, trouble))
    # Who says when has to be asked no later: a message that only waits for its turn must not miss it.
    after = backoff(job.attempts) if error.after is None else max(error.after, SOONEST)
    return retry(trouble, after, reason=error.reason, uncertain_attempts=max(job.uncertain_attempts, int(error.unsure)))


def _whom(job: Job) -> str:
    """The channel, and of its recipients the one that is left."""
    recipient = job.payload.get("recipient")
    return f"{job.payload['channel']} ({recipient})" if recipient else str(job.payload["channel"])


def _partly_sent(
    context: Context, job: Job, message: Message, reference: str | None, error: PartlyDeliveredError
) -> Outcome:
    """Queue a delivery for each recipient that was refused, and name them on the timeline."""
    log.warning(
        "recipients refused", channel=job.payload["channel"], incident=job.incident_id, recipients=len(error.refused)
    )

    def record(connection: Connection) -> None:
        now = context.clock()
        if error.reference is not None:
            _delivered(context, job, message, reference, error.reference, how="; not all of its recipients")(connection)
        for recipient, why in error.refused.items():
            text = f"could not tell {job.payload['channel']} ({recipient}) yet: {why}; tried again by itself"
            timeline.write(connection, job.incident_id, now, Kind.NOT_TOLD, text)
            left = NewJob(
                kind=KIND,
                key=f"{job.key}:to:{recipient}",
                serial_key=f"{_serial_key(job.incident_id, job.payload['channel'])}:{recipient}",
                queue=queue_of(job.payload["channel"]),
                urgency=job.urgency,
                run_at=now + backoff(1),
                incident_id=job.incident_id,
                payload={**job.payload, "recipient": recipient},
            )
            enqueue(connection, now, left)

    return Outcome(State.DONE, f"{message.title}; {error}", record=record, reason=error.reason)


def _refused(context: Context, job: Job, text: str) -> Any:
    """Record the refusal, notify the channel's stand-in, and retry slowly in a queue position that blocks nothing."""

    def record(connection: Connection) -> None:
        now = context.clock()
        timeline.write(connection, job.incident_id, now, Kind.NOT_TOLD, text)
        _fall_back(connection, context, job, text)
        key = f"{_AGAIN}{job.key}"
        later = NewJob(
            kind=KIND,
            key=key,
            serial_key=key,
            queue=queue_of(job.payload["channel"]),
            run_at=now + context.settings.notify.refused_again_after,
            incident_id=job.incident_id,
            payload={**job.payload, "again_of": job.key},
        )
        enqueue(connection, now, later)

    return record


async def _unbroken(call: Awaitable[str | None], message: Message) -> str | None:
    """Await a channel; an exception in its code counts as a failed delivery too, so that it is given up some day."""
    try:
        return await call
    except DeliveryError:
        raise
    except Exception as error:
        log.exception("a channel broke", event_told=message.event, incident=message.incident.id)
        raise DeliveryError("internal", type(error).__name__, again=True, unsure=True) from error


def queue_of(channel: str) -> str:
    """A channel has its own queue, so that one that hangs delays no other."""
    return f"{KIND}:{channel}"


def channel_of(queue: str) -> str:
    """The channel that a queue of deliveries belongs to."""
    return queue.removeprefix(f"{KIND}:")


def _serial_key(incident_id: int, channel: str) -> str:
    return f"deliver:{incident_id}:{channel}"


def _delivered(
    context: Context, job: Job, message: Message, reference: str | None, sent: str | None, *, how: str = ""
) -> Any:
    name = job.payload["channel"]

    def record(connection: Connection) -> None:
        if sent and sent != reference:
            row = {"incident_id": job.incident_id, "channel": name, "reference": sent}
            insert_later(connection, threads, [row], Known.REPLACED)
        timeline.write(connection, job.incident_id, context.clock(), Kind.TOLD, f"{name}: {message.title}{how}")

    return record


def _gave_up(context: Context, job: Job, text: str, *, kind: Kind = Kind.NOT_TOLD) -> Any:
    def record(connection: Connection) -> None:
        timeline.write(connection, job.incident_id, context.clock(), kind, text)
        _fall_back(connection, context, job, text)

    return record


def _fall_back(connection: Connection, context: Context, job: Job, trouble: str) -> None:
    """Tell the channel's stand-in instead, once for a message; without one, another where it would reach nobody."""
    name, other = job.payload["channel"], _stand_in(context, job)
    if other is None and job.payload.get("recipient") is None:
        other = stand_in.choose(connection, context.settings, context.channels, job)
    if other is None:
        return
    now = context.clock()
    instead = NewJob(
        kind=KIND,
        key=f"{job.key}:instead:{other}",
        serial_key=_serial_key(job.incident_id, other),
        queue=queue_of(other),
        urgency=job.urgency,
        run_at=now,
        incident_id=job.incident_id,
        payload={**job.payload, "channel": other, "instead_of": name},
    )
    if enqueue_new(connection, now, instead):
        text = f"{other} is told instead of {name}: {trouble}"
        timeline.write(connection, job.incident_id, now, Kind.FELL_BACK, text)
        stand_in.widen(connection, job.incident_id, other)


def _stand_in(context: Context, job: Job) -> str | None:
    return None if job.payload.get("instead_of") else context.settings.notify.fallback.get(job.payload["channel"])


def _queue_action(case: Case) -> None:
    incident = case.incident
    event = Event.DEGRADATION if _is_degradation(case) else case.event
    tell(case.connection, case.settings, incident, event, case.now, once=case.once, note=case.summary)


ACTION = Action("notify", _queue_action, {KIND: handle})


def _is_degradation(case: Case) -> bool:
    """Whether it opens an incident that is told by metric, value and impact; what is critical is told as such."""
    return case.event is Event.OPENED and case.incident.type == DEGRADED and case.incident.severity != "critical"
