"""Delivers one event to one sink: at least once, and after every earlier one of its service and environment.

What a sink refuses waits, and so do the later events of its key: an order with a hole would be told as the truth. After
`give_up_after` the event is given up, which is counted and logged, and the later ones go on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from deploywatch.receiver.context import Context
from deploywatch.receiver.events import outbox
from deploywatch.receiver.events.kafka import TOO_LARGE
from deploywatch.receiver.events.sinks import Sinks
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import SOONEST, Outcome, backoff, done, failed, retry
from deploywatch.receiver.messages import DeliveryError

REFUSED_AGAIN: Final = timedelta(minutes=15)
"""How often that is tried again which a sink refused: until somebody mends it, or its configuration."""
NOT_CONFIGURED: Final = "not_configured"
FORGOTTEN: Final = "forgotten"


async def handle(context: Context, job: Job, *, sinks: Sinks) -> Outcome:
    """Hand the event over; trouble is waited out, in order."""
    name = job.payload["sink"]
    event = await context.store.read(lambda connection: outbox.find(connection, job.payload["event"]))
    if event is None:
        return failed(f"event {job.payload['event']} was forgotten before {name} took it", reason=FORGOTTEN)
    sink = sinks.get(name)
    if sink is None:
        return failed(f"{name} is not among events.sinks any more", reason=NOT_CONFIGURED)
    try:
        await sink.send(event)
    except DeliveryError as error:
        return _again(context, job, error)
    return done(f"{name}: {event.type} {event.key}")


def _again(context: Context, job: Job, error: DeliveryError) -> Outcome:
    text = f"{job.payload['sink']}: {context.conceal(str(error))}"
    # Everything behind it in its order would wait until it is given up, and it can never be taken.
    if error.reason == TOO_LARGE:
        return failed(f"{text}; it would never be taken", reason=error.reason)
    if context.clock() - job.created_at >= context.settings.events.give_up_after:
        return failed(f"{text}; given up", reason=error.reason)
    pause = backoff(job.attempts) if error.again else REFUSED_AGAIN
    return retry(text, max(error.after or timedelta(), pause, SOONEST), reason=error.reason)
