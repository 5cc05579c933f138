"""Takes a deployment into the ledger with all that follows: brakes that waited for it, channels, events."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from deploywatch.receiver.actions.rollback import reconsider, under_way
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import announce, assessments, ledger, records
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.records import Record, Taken
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit


def take(connection: Connection, context: Context, record: Record, now: datetime) -> Taken:
    """Write a record down; what is known already changes nothing. UnknownDeploymentError as `records.take`."""
    taken = records.take(connection, record)
    deployment = taken.deployment
    if taken.began and not taken.ended:
        taken = replace(taken, notice=under_way.meets(connection, deployment, now))
    if taken.changed:
        reconsider.look_now(connection, deployment.service, deployment.environment, now)
    if taken.began != taken.ended:
        announce.queue(connection, context, deployment, now)
    if taken.began:
        assessments.queue(connection, deployment, now)
        emit(connection, context.settings, facts.deployment_started(deployment), now)
    if taken.ended:
        emit(connection, context.settings, facts.deployment_ended(deployment), now)
    return taken


def finish(
    connection: Connection, context: Context, number: int, status: Status, at: datetime, *, now: datetime
) -> Deployment | None:
    """Note how a deployment ended; None where there is none. One that has ended already stays as it is."""
    before = ledger.find(connection, number)
    ended = ledger.finish(connection, number, status, at)
    if before is None or ended is None:
        return None
    announce.queue(connection, context, ended, now)
    reconsider.look_now(connection, ended.service, ended.environment, now)
    if before.status is Status.RUNNING:
        emit(connection, context.settings, facts.deployment_ended(ended), now)
    return ended
