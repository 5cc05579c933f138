"""Tells the channels that show changes, such as PagerDuty, that a deployment began or ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, backoff, done, failed, retry
from deploywatch.receiver.messages import ChangeChannel, DeliveryError

KIND = "change"
_GIVE_UP_AFTER = timedelta(hours=1)


def queue(connection: Connection, context: Context, deployment: Deployment, now: datetime) -> None:
    """Queue the news for every channel that shows changes; each state of a deployment is told once."""
    names = [name for name, channel in context.channels.items() if isinstance(channel, ChangeChannel)]
    news = [
        NewJob(
            kind=KIND,
            # By its state: that it began, and how it ended, are two pieces of news.
            key=f"change:{deployment.id}:{deployment.status}:{name}",
            serial_key=f"change:{deployment.id}:{name}",
            queue=f"change:{name}",
            run_at=now,
            payload={"deployment": deployment.id, "channel": name},
        )
        for name in names
    ]
    enqueue(connection, now, *news)


async def handle(context: Context, job: Job) -> Outcome:
    """Hand the news over; trouble that may pass is tried again for an hour, because old news helps nobody."""
    channel = context.channels.get(job.payload["channel"])
    if not isinstance(channel, ChangeChannel):
        return failed("the channel is no longer there, or shows no changes")
    deployment = await context.store.read(lambda connection: ledger.get(connection, job.payload["deployment"]))
    try:
        await channel.change(deployment.view())
    except DeliveryError as error:
        if error.again and context.clock() - job.created_at < _GIVE_UP_AFTER:
            return retry(str(error), max(error.after or timedelta(), backoff(job.attempts)))
        return failed(str(error))
    return done(f"{deployment.version}: {deployment.status}")
