"""How a delivery ended, recorded together with what follows: a later try, a stand-in, a line on the timeline."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from deploywatch import logs
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue, enqueue_new
from deploywatch.receiver.jobs.retry import SOONEST, Outcome, backoff, failed, retry
from deploywatch.receiver.messages import (
    DeliveryError,
    Message,
    PartlyDeliveredError,
)
from deploywatch.receiver.notify import stand_in
from deploywatch.receiver.notify.queueing import AGAIN_PREFIX, KIND, queue_of, serial_key_of
from deploywatch.receiver.store import Known, insert_later
from deploywatch.receiver.store.schema import jobs, threads

log = logs.get("notify")


def try_refused_again(connection: Connection, now: datetime) -> None:
    """Have what channels have refused tried now: their settings may have been mended."""
    waiting = (
        jobs.c.kind == KIND,
        jobs.c.state == State.READY,
        jobs.c.key.startswith(AGAIN_PREFIX),
        jobs.c.run_at > now,
    )
    connection.execute(update(jobs).where(*waiting).values(run_at=now))


def not_any_more(context: Context, job: Job, why: str) -> Any:
    text = f"{_whom(job)} is not told of {job.payload['event']} any more: {why}"
    return lambda connection: timeline.write(connection, job.incident_id, context.clock(), Kind.NOT_TOLD, text)


async def not_sent(context: Context, job: Job, error: DeliveryError) -> Outcome:
    """Retry a failed delivery later, or give it up; where it may have arrived all the same, the next try knows."""
    age, trouble, settings = context.clock() - job.created_at, str(error), context.settings.notify
    text = f"could not tell {_whom(job)}: {trouble}"
    # Before all else: after a day the news is old, whatever the channel says now.
    if age >= settings.give_up_after:
        return failed(trouble, gave_up(context, job, text), reason=error.reason)
    # A refusal (a wrong token, a channel that was deleted) needs a person. It is loud in the log, told elsewhere, and
    # tried seldom.
    if not error.again:
        log.error(
            "a channel refuses a message",
            channel=job.payload["channel"],
            incident=job.incident_id,
            reason=error.reason,
            detail=error.detail,
        )
        if job.key.startswith(AGAIN_PREFIX):
            return retry(trouble, settings.refused_again_after, reason=error.reason)
        return failed(trouble, _refused(context, job, text), reason=error.reason)
    if age >= context.settings.notify.fall_back_after:
        await context.store.write(lambda connection: fall_back(connection, context, job, trouble))
    # Who says when has to be asked no later: a message that only waits for its turn must not miss it.
    after = backoff(job.attempts) if error.after is None else max(error.after, SOONEST)
    return retry(trouble, after, reason=error.reason, uncertain_attempts=max(job.uncertain_attempts, int(error.unsure)))


def _whom(job: Job) -> str:
    """The channel, and of its recipients the one that is left."""
    recipient = job.payload.get("recipient")
    return f"{job.payload['channel']} ({recipient})" if recipient else str(job.payload["channel"])


def partly_sent(
    context: Context, job: Job, message: Message, reference: str | None, error: PartlyDeliveredError
) -> Outcome:
    """Queue a delivery for each recipient that was refused, and name them on the timeline."""
    log.warning(
        "recipients refused", channel=job.payload["channel"], incident=job.incident_id, recipients=len(error.refused)
    )

    def record(connection: Connection) -> None:
        now = context.clock()
        if error.reference is not None:
            delivered(context, job, message, reference, error.reference, how="; not all of its recipients")(connection)
        else:
            # Each is tried by itself, and none of them has heard of it so far.
            fall_back(connection, context, job, f"could not tell {job.payload['channel']} yet: {error}")
        for recipient, why in error.refused.items():
            text = f"could not tell {job.payload['channel']} ({recipient}) yet: {why}; tried again by itself"
            timeline.write(connection, job.incident_id, now, Kind.NOT_TOLD, text)
            left = NewJob(
                kind=KIND,
                key=f"{job.key}:to:{recipient}",
                # A line of its own: one mailbox that is full must not hold up the next message to all the others.
                serial_key=f"{serial_key_of(job.incident_id, job.payload['channel'])}:{recipient}",
                queue=queue_of(job.payload["channel"]),
                urgency=job.urgency,
                run_at=now + backoff(1),
                incident_id=job.incident_id,
                payload={**job.payload, "recipient": recipient},
            )
            enqueue(connection, now, left)

    # Done means that somebody has heard of it, which spares them a call.
    state = State.DONE if error.reference is not None else State.FAILED
    return Outcome(state, f"{message.title}; {error}", record=record, reason=error.reason)


def _refused(context: Context, job: Job, text: str) -> Any:
    """Record the refusal, notify the channel's stand-in, and retry slowly in a queue position that blocks nothing."""

    def record(connection: Connection) -> None:
        now = context.clock()
        timeline.write(connection, job.incident_id, now, Kind.NOT_TOLD, text)
        fall_back(connection, context, job, text)
        # Its own key is its serial key too: nothing waits behind it.
        key = f"{AGAIN_PREFIX}{job.key}"
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


def delivered(
    context: Context, job: Job, message: Message, reference: str | None, sent: str | None, *, how: str = ""
) -> Any:
    name = job.payload["channel"]

    def record(connection: Connection) -> None:
        if sent and sent != reference:
            row = {"incident_id": job.incident_id, "channel": name, "reference": sent}
            # Replaced, since the first message of an incident may have been told by a stand-in before.
            insert_later(connection, threads, [row], Known.REPLACED)
        # Not when the answer came: an alert that joined while it was on its way is none that people have heard of.
        at = message.as_of or context.clock()
        timeline.write(connection, job.incident_id, at, Kind.TOLD, f"{name}: {message.title}{how}")

    return record


def gave_up(context: Context, job: Job, text: str, *, kind: Kind = Kind.NOT_TOLD) -> Any:
    def record(connection: Connection) -> None:
        timeline.write(connection, job.incident_id, context.clock(), kind, text)
        fall_back(connection, context, job, text)

    return record


def fall_back(connection: Connection, context: Context, job: Job, trouble: str) -> None:
    """Tell the channel's stand-in instead, once for a message; without one, another where it would reach nobody."""
    name, other = job.payload["channel"], stand_in_of(context, job)
    # One recipient of several that was refused is not "nobody was reached".
    if other is None and job.payload.get("recipient") is None:
        other = stand_in.choose(connection, context.settings, context.channels, job)
    if other is None:
        return
    now = context.clock()
    instead = NewJob(
        kind=KIND,
        key=f"{job.key}:instead:{other}",
        serial_key=serial_key_of(job.incident_id, other),
        queue=queue_of(other),
        urgency=job.urgency,
        run_at=now,
        incident_id=job.incident_id,
        payload={**job.payload, "channel": other, "instead_of": name},
    )
    # Asked at each failed try; the key lets it happen once.
    if enqueue_new(connection, now, instead):
        text = f"{other} is told instead of {name}: {trouble}"
        timeline.write(connection, job.incident_id, now, Kind.FELL_BACK, text)
        stand_in.widen(connection, job.incident_id, other)


def stand_in_of(context: Context, job: Job) -> str | None:
    # No stand-in of a stand-in: two that name each other would hand a message to and fro.
    return None if job.payload.get("instead_of") else context.settings.notify.fallback.get(job.payload["channel"])
