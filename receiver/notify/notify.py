"""Delivers what is queued: a message handed to its channel, tried again, given up, or told by another channel."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, select

from deploywatch import logs
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.case import Action, Case
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.claim import mark_uncertain
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.queue import job_key
from deploywatch.receiver.jobs.retry import Outcome, done, failed, retry
from deploywatch.receiver.messages import Channel, DeliveryError, Message, PartlyDeliveredError, identity
from deploywatch.receiver.notify import compose, overtaken, taking_link
from deploywatch.receiver.notify.delivery_results import (
    delivered,
    gave_up,
    not_any_more,
    not_sent,
    partly_sent,
    stand_in_of,
)
from deploywatch.receiver.notify.queueing import AGAIN_PREFIX, KIND, NEWS, tell
from deploywatch.receiver.notify.uncertain_delivery import PATIENCE, Step, decide
from deploywatch.receiver.notify.unsent import Unsent, nothing_sent, surely_told
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event

DEGRADED = "performance_degradation"
"""The incident type of what is slower or worse than before and does not call for a page."""
log = logs.get("notify")


async def handle(context: Context, job: Job) -> Outcome:
    """Render the message and hand it to its channel; trouble that may pass is tried again, for a day."""
    name = job.payload["channel"]
    channel = context.channels.get(name)
    # The config was changed while the message waited. Its stand-in is told, and it is no success.
    if channel is None:
        gone = gave_up(context, job, f"{name} is no longer configured")
        return failed(f"channel {name} is no longer configured", gone, reason="not_configured")
    if overtaken.LATE in job.payload:
        return await _once_more(context, job, channel)
    event = Event(job.payload["event"])
    if event is Event.ESCALATED and await context.store.read(lambda c: _told_with_the_opening(c, job)):
        return nothing_sent(name, Unsent.TOLD_ALREADY)
    if not channel.wants(event):
        return nothing_sent(name, Unsent.NOT_WANTED)
    # Composed at each try, not when it was queued: what people read is how it stands now.
    composed = await compose.of(context, job)
    if outdated := _outdated(job, composed.message):
        return nothing_sent(name, Unsent.OUTDATED, not_any_more(context, job, outdated))
    message = taking_link.added(context.settings, _named(composed.message, job), name)
    return await _send(context, job, channel, message, composed.references.get(name))


async def _send(context: Context, job: Job, channel: Channel, message: Message, reference: str | None) -> Outcome:
    """Hand the message over, after an earlier sending that was cut off is settled."""
    try:
        if job.uncertain_attempts and (outcome := await _in_doubt(context, job, channel, message, reference)):
            return outcome
        sent = await _unbroken(channel.send(message, reference), message)
    except PartlyDeliveredError as error:
        return partly_sent(context, job, message, reference, error)
    except DeliveryError as error:
        return await not_sent(context, job, error)
    return done(message.title, delivered(context, job, message, reference, sent))


async def _once_more(context: Context, job: Job, channel: Channel) -> Outcome:
    """Say how it stands now, where a message was sent late, after newer ones."""
    newer = await context.store.read(lambda connection: overtaken.find(connection, job, context.clock()))
    if newer is None:
        return nothing_sent(job.payload["channel"], Unsent.IN_ORDER)
    composed = await compose.of(context, newer.job)
    message = newer.of(_named(composed.message, job))
    outcome = await _send(context, newer.job, channel, message, composed.references.get(job.payload["channel"]))
    if outcome.state is not State.DONE or outcome.record is None:
        return outcome
    record_sent = outcome.record

    def record(connection: Connection) -> None:
        timeline.write(connection, job.incident_id, context.clock(), Kind.TOLD_LATE, newer.text)
        record_sent(connection)

    return replace(outcome, record=record, reason=overtaken.TOLD_LATE)


def _told_with_the_opening(connection: Connection, job: Job) -> bool:
    """Whether it escalates at once what the channel has just been told: one call is enough.

    Only where that message has arrived: else this one is the call.
    """
    # The keys say what belongs together: same incident, same `once`, same channel, another event.
    start = f"{KIND}:{job.incident_id}:{Event.ESCALATED}:"
    if not job.key.startswith(start):
        return False
    openings = [job_key(f"{KIND}:{job.incident_id}:{event}:{job.key.removeprefix(start)}") for event in NEWS]
    query = select(jobs.c.id).where(jobs.c.key.in_(openings), surely_told())
    return connection.execute(query.limit(1)).first() is not None


def _named(message: Message, job: Job) -> Message:
    """The message with a name that stays the same from try to try, whatever its words are by then."""
    name = identity(message.dedup_key, job.payload.get("again_of", job.key))
    return replace(message, id=name, recipient=job.payload.get("recipient", ""))


def _outdated(job: Job, message: Message) -> str:
    """Why a message that was refused is not told any more; an empty text while it is of use."""
    if not job.key.startswith(AGAIN_PREFIX) or message.incident.resolved_at is None:
        return ""
    return "" if message.event is Event.RESOLVED else "the incident was over before the channel worked again"


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
        # The channel may answer in a moment, and its word is better than any guess.
        if error.again and age < PATIENCE:
            raise
        stood, stand_in = context.clock() - context.started_at, stand_in_of(context, job) is not None
        verdict, arrived, uncertain_attempts = (
            decide(job.uncertain_attempts, stood=stood, age=age, stand_in=stand_in),
            None,
            job.uncertain_attempts + 1,
        )
        if verdict.step is Step.WAIT:
            return retry(f"{name} may have been told when the receiver stopped", verdict.after, reason="in_doubt")
        if verdict.step is Step.STAND_IN:
            text = f"whether {name} was told is unknown: the receiver stopped each of {job.uncertain_attempts} times"
            return failed(text, gave_up(context, job, text, kind=Kind.UNKNOWN_WHETHER_TOLD), reason="in_doubt")
    if arrived is not None:
        return done(message.title, delivered(context, job, message, reference, arrived, how="; it had arrived"))
    # Written before it is sent once more: should this try be cut off as well, the next one knows how many there were.
    if not await context.store.write(lambda connection: mark_uncertain(connection, job, uncertain_attempts)):
        return retry("another replica has it", timedelta())
    return None


async def _unbroken(call: Awaitable[str | None], message: Message) -> str | None:
    """Await a channel; an exception in its code counts as a failed delivery too, so that it is given up some day."""
    try:
        return await call
    except DeliveryError:
        raise
    except Exception as error:
        log.exception("a channel broke", event_told=message.event, incident=message.incident.id)
        # Only the type: the text of an error that nobody foresaw may bear a credential.
        raise DeliveryError("internal", type(error).__name__, again=True, unsure=True) from error


def _queue_action(case: Case) -> None:
    incident = case.incident
    event = Event.DEGRADATION if _is_degradation(case) else case.event
    tell(case.connection, case.settings, incident, event, case.now, once=case.once, note=case.summary)


ACTION = Action("notify", _queue_action, {KIND: handle})


def _is_degradation(case: Case) -> bool:
    """Whether it opens an incident that is told by metric, value and impact; what is critical is told as such."""
    return case.event is Event.OPENED and case.incident.type == DEGRADED and case.incident.severity != "critical"
