"""The times of a service that nothing is learned from, as the store knows them: deployments and incidents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from deploywatch.receiver.assessment import learned
from deploywatch.receiver.assessment.learned import LeftOut
from deploywatch.receiver.deployments.deployment import BAD, Deployment, Status
from deploywatch.receiver.store.schema import deployments, incidents

LONGEST = timedelta(hours=24)
"""A deployment that nobody finished is over after this, or when the next one begins."""


def left_out(connection: Connection, deployment: Deployment) -> list[LeftOut]:
    """Everything that happened to its service in the four weeks before a deployment, as spans that do not touch."""
    until = deployment.started_at
    since = until - learned.SPAN
    return learned.merged([*_deployments(connection, deployment, since), *_incidents(connection, deployment, since)])


def _deployments(connection: Connection, deployment: Deployment, since: datetime) -> Iterator[LeftOut]:
    query = (
        select(deployments)
        .where(
            deployments.c.service == deployment.service,
            deployments.c.environment == deployment.environment,
            deployments.c.started_at >= since - LONGEST,
            deployments.c.started_at < deployment.started_at,
        )
        .order_by(deployments.c.started_at, deployments.c.id)
    )
    rows = connection.execute(query).mappings().all()
    begins = [*(row["started_at"] for row in rows), deployment.started_at]
    for row, next_began in zip(rows, begins[1:], strict=True):
        well = row["status"] == Status.SUCCEEDED and row["verdict"] != BAD
        # One that was bad disturbed until it was replaced.
        end = row["finished_at"] if well else min(next_began, row["started_at"] + LONGEST)
        name = f"deployment {row['id']} ({row['version']})"
        yield LeftOut(name, row["started_at"], (end or next_began) + learned.AFTER_A_DEPLOYMENT)


def _incidents(connection: Connection, deployment: Deployment, since: datetime) -> Iterator[LeftOut]:
    query = (
        select(incidents.c.id, incidents.c.opened_at, incidents.c.resolved_at)
        .where(
            incidents.c.service == deployment.service,
            incidents.c.environment == deployment.environment,
            incidents.c.opened_at < deployment.started_at,
            or_(incidents.c.resolved_at.is_(None), incidents.c.resolved_at > since),
        )
        .order_by(incidents.c.id)
    )
    for number, opened_at, resolved_at in connection.execute(query):
        yield LeftOut(f"incident {number}", opened_at, resolved_at or deployment.started_at)
