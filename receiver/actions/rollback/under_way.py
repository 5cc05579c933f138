"""A deployment that begins while its target is being changed: either may overwrite the other, so both are told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from deploywatch.receiver.actions.target_lock import held_by
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.store.action_schema import rollbacks


def meets(connection: Connection, deployment: Deployment, now: datetime) -> str:
    """Say on the incident's timeline that a deployment begins meanwhile; what its pipeline should know, or empty."""
    service, environment = deployment.service, deployment.environment
    by = held_by(connection, service, environment)
    if not by:
        return ""
    query = select(rollbacks.c.incident_id).where(
        rollbacks.c.service == service, rollbacks.c.environment == environment
    )
    incident = connection.execute(query.order_by(rollbacks.c.id.desc()).limit(1)).scalar()
    if incident is not None:
        text = f"{deployment.version} began to be deployed while {by} is under way; either may overwrite the other"
        timeline.write(connection, incident, now, Kind.DEPLOYMENT_BEGAN, text)
    # Not refused: the deployment runs already, and a pipeline that is stopped half way is no better off.
    return (
        f"{service} in {environment} is in the hands of {by}, and either may overwrite what the other deploys; "
        "when both have ended, look what runs"
    )
