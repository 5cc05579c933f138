"""What ran before a deployment: the versions that were well, and the times when a bad one ran."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from deploywatch.receiver.deployments.deployment import BAD, REFUTED, Deployment, Status, of_row
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.schema import deployments

_TRIED = exists().where(rollbacks.c.deployment_id == deployments.c.id)
# Far more versions than anybody would go back by, and few enough to read at each question.
_LOOK_BACK = 200


def with_version(
    connection: Connection, service: str, environment: str, version: str, moment: datetime
) -> Deployment | None:
    """The target's last deployment of this version that began before the moment and is no rollback."""
    query = select(deployments).where(
        deployments.c.service == service,
        deployments.c.environment == environment,
        deployments.c.version == version,
        deployments.c.started_at <= moment,
        deployments.c.rollback_of.is_(None),
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return of_row(row) if row else None


def those_before(connection: Connection, deployment: Deployment, *, limit: int) -> list[Deployment]:
    """The target's deployments that began before this one, the newest first; rollbacks too."""
    query = select(deployments).where(
        deployments.c.service == deployment.service,
        deployments.c.environment == deployment.environment,
        or_(
            deployments.c.started_at < deployment.started_at,
            and_(deployments.c.started_at == deployment.started_at, deployments.c.id < deployment.id),
        ),
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(limit)
    return [of_row(row) for row in connection.execute(query).mappings()]


def well_before(connection: Connection, deployment: Deployment) -> str | None:
    """The last different version that was well before a deployment began, and that nobody tried to roll back.

    Worked out when it is asked, because what was the version before may have been judged bad since.
    """
    earlier = or_(
        deployments.c.started_at < deployment.started_at,
        and_(deployments.c.started_at == deployment.started_at, deployments.c.id < deployment.id),
    )
    judged = {deployment.version}
    well = last_well(connection, deployment.service, deployment.environment, earlier, judged)
    if well is not None:
        return well
    # What its pipeline named, where the ledger does not know that version, or has not seen it fail.
    return deployment.previous_version if deployment.previous_version not in judged else None


def last_well(
    connection: Connection, service: str, environment: str, earlier: ColumnElement[bool], judged: set[str]
) -> str | None:
    """The last version whose newest deployment was well; `judged` are those that do not count, and grows by others."""
    c = deployments.c
    query = (
        select(c.version, c.status, c.verdict, c.success, _TRIED.label("tried"))
        .where(c.service == service, c.environment == environment, earlier)
        .order_by(c.started_at.desc(), c.id.desc())
        .limit(_LOOK_BACK)
    )
    for version, status, verdict, success, tried in connection.execute(query):
        if version in judged:
            continue
        # What its pipeline called a success, and the verdict or its watching did not, is nothing to go back to.
        if status == Status.SUCCEEDED and verdict != BAD and success != REFUTED and not tried:
            return str(version)
        # Its newest deployment decides about a version: one that was well once and failed yesterday is not well.
        judged.add(version)
    return None


def _newest(connection: Connection, service: str, environment: str, until: datetime) -> list[Deployment]:
    query = select(deployments).where(
        deployments.c.service == service, deployments.c.environment == environment, deployments.c.started_at < until
    )
    query = query.order_by(deployments.c.started_at.desc(), deployments.c.id.desc()).limit(_LOOK_BACK)
    return [of_row(row) for row in connection.execute(query).mappings()]


def bad_spans(
    connection: Connection, service: str, environment: str, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """When versions ran that are known to be bad (judged so, failed, rolled back), between two times.

    Each lasts from its deployment's beginning to the end of what undid it, or to the beginning of the next one.
    """
    rows = _newest(connection, service, environment, until)
    ends = [until, *(later.started_at for later in rows)]
    spans = []
    for deployment, later, next_began in zip(rows, [None, *rows], ends, strict=False):
        undone_at = later.finished_at if later is not None and later.rollback_of == deployment.id else None
        ended = undone_at or next_began
        bad = deployment.verdict == BAD or deployment.status in (Status.FAILED, Status.ROLLED_BACK)
        if bad and ended > since:
            spans.append((max(since, deployment.started_at), min(until, ended)))
    return spans
