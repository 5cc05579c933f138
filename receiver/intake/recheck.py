"""Looks again at an alert that came as firing shortly after its resolve: was that late, or is it what is true?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from deploywatch.errors import UnreachableError
from deploywatch.receiver.alert import Alert, source_of
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import recheck
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.upstream.alertmanager import look

Accept = Callable[[Delivery], Awaitable[None]]


async def handle(context: Context, job: Job, accept: Accept | None = None) -> Outcome:
    """Take the alert in as firing, unless every Alertmanager that we may ask says that it does not fire.

    It goes through `accept`, as a webhook does, where there is one that remembers alerts between transactions.
    """
    alert = recheck.alert_of(job.payload)
    if await _is_known_to_be_over(context, alert):
        return done("no Alertmanager has it: the delivery was late")
    now = context.clock()
    delivery = Delivery(now, b"an alert that fires on", (alert,))
    if accept is not None:
        await accept(delivery)
        return done("it fires on")
    return done("it fires on", lambda connection: ingest(connection, context.settings, [delivery], now))


async def still_firing(
    context: Context, job: Job, accept: Accept | None = None, lost: Callable[[Connection], None] = lambda _: None
) -> Outcome:
    """What fires on although a person ended its incident begins another; `lost` forgets what is remembered of it."""

    def let_go(connection: Connection) -> tuple[Alert, ...]:
        fires = alert_store.give_up(connection, job.incident_id)
        if fires:
            lost(connection)
        return fires

    fires = await context.store.write(let_go)
    if not fires:
        return done("nothing fires any more")
    now = context.clock()
    delivery = Delivery(now, b"alerts that fire on after a person's word", fires)
    if accept is not None:
        await accept(delivery)
        return done("they fire on")
    return done("they fire on", lambda connection: ingest(connection, context.settings, [delivery], now))


async def _is_known_to_be_over(context: Context, alert: Alert) -> bool:
    upstream = context.settings.upstream
    if not upstream.alertmanagers:
        return False
    asked = (look(context.http, server, upstream.reconcile.receiver) for server in upstream.alertmanagers)
    try:
        answers = await asyncio.gather(*asked)
    except UnreachableError:
        # What cannot be known has the dangerous meaning.
        return False
    if all(source_of(alert.fingerprint) != seen.source for seen in answers):
        return False  # it is of none of them
    return not any(alert.fingerprint == listed.fingerprint for seen in answers for listed in seen.alerts)
