"""What the store knows of rollbacks and their targets: how often, how well, and who holds the lock."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Connection, Select, func, insert, select

from deploywatch.receiver.actions.rollback.situation import HOUR, ApprovalState, Situation
from deploywatch.receiver.actions.target_lock import held_by
from deploywatch.receiver.alert import VERDICT, Alert, source_of
from deploywatch.receiver.deployments import earlier, ledger, verdicts
from deploywatch.receiver.deployments.deployment import BAD, Deployment
from deploywatch.receiver.incidents import timeline
from deploywatch.receiver.incidents.alerts import alert_store, alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import Severity
from deploywatch.receiver.store.action_schema import approvals, breaker_resets, rollbacks

ROLLBACK = "rollback"
"""The kind of job that decides about a rollback and does it."""
_FAILED = ("failed", "not_verified")
# Rollbacks of one target: more in a row would have met the breaker long before.
_LOOK_BACK = 100
_OF_ITS_TROUBLE = frozenset({ApprovalState.REJECTED, ApprovalState.EXPIRED})


def asks(settings: ReceiverConfig, alert: Alert, severity: str) -> bool:
    """Whether an alert asks for a rollback, by its own label or by what its severity calls for."""
    # Both come in as alerts, but a site may trust counted requests and not its thresholds, or the other way round.
    asker = "verdict" if source_of(alert.fingerprint) == VERDICT else "alerts"
    wanted = settings.strategy.immediate(cast("Severity", severity), alert)
    return asker in settings.rollback.on and ROLLBACK in wanted


def situation(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, fingerprint: str = ""
) -> Situation:
    """Everything that the brakes look at, as it is now; `fingerprint` is the alert's that asks, empty for a person.

    A deployment is compared with the start of the last alert that asks: one that lingers since before it, however bad,
    says nothing of it.
    """
    service, environment = incident.service, incident.environment
    of_target = (rollbacks.c.service == service, rollbacks.c.environment == environment)
    last = select(func.max(rollbacks.c.started_at)).where(*of_target)
    lately = select(func.count()).select_from(rollbacks).where(rollbacks.c.started_at > now - HOUR)
    deployment = ledger.latest(connection, service, environment)
    number = deployment.id if deployment else None
    tried = select(rollbacks.c.state).where(rollbacks.c.deployment_id == number)
    return Situation(
        now=now,
        service=service,
        environment=environment,
        # Quiet is enough: the incident stays open for a while after its last alert has ended.
        incident_over=incident.resolved_at is not None or incident.quiet_since is not None,
        deployment=deployment,
        tried=connection.execute(tried).scalar() or "",
        last_rollback=connection.execute(last).scalar(),
        to_version=_back_to(connection, deployment),
        asked_since=_asked_since(connection, settings, incident, fingerprint),
        failed_in_a_row=failed_in_a_row(connection, service, environment),
        of_target=connection.execute(lately.where(*of_target)).scalar_one(),
        in_all=connection.execute(lately).scalar_one(),
        held_by=held_by(connection, service, environment),
        issues=tuple(alert.name for alert in alert_views.views(connection, incident.id) if alert.firing),
        word=_word(connection, incident, number),
        proof=verdicts.proof(connection, deployment.id) if deployment and deployment.verdict == BAD else "",
    )


def _word(connection: Connection, incident: Incident, deployment: int | None) -> ApprovalState:
    """How a person's word stands; a no, or none in time, was about the smaller trouble if the incident is worse now."""
    query = select(approvals.c.state, approvals.c.asked_at).where(
        approvals.c.incident_id == incident.id, approvals.c.deployment_id == deployment
    )
    row = connection.execute(query).first()
    if row is None:
        return ApprovalState.NONE
    state = ApprovalState(row.state)
    if (
        state in _OF_ITS_TROUBLE
        and max(timeline.moments(connection, incident.id, Kind.WORSENED), default=row.asked_at) > row.asked_at
    ):
        return ApprovalState.NONE
    return state


def _back_to(connection: Connection, deployment: Deployment | None) -> str | None:
    return earlier.well_before(connection, deployment) if deployment else None


def _asked_since(
    connection: Connection, settings: ReceiverConfig, incident: Incident, fingerprint: str
) -> datetime | None:
    """When the last of the alerts began that ask, also where several came with one webhook or one after another.

    A person may ask because of any alert that fires.
    """
    firing = alert_views.firing_with_severity(connection, incident.id)
    began = [alert.since for alert, severity in firing if not fingerprint or asks(settings, alert, severity)]
    # The alert that asks may have ended meanwhile and so not be among those that fire.
    episode, _ = alert_store.episodes(connection, [fingerprint]).get(fingerprint, (None, None))
    if episode is not None:
        began.append(episode.since)
    return max(began, default=None)


def _last_reset(service: str, environment: str) -> Select[tuple[datetime | None]]:
    return select(func.max(breaker_resets.c.at)).where(
        breaker_resets.c.service == service, breaker_resets.c.environment == environment
    )


def failed_in_a_row(connection: Connection, service: str, environment: str) -> int:
    """How many of the target's last rollbacks failed, up to one that did not or a person's reset."""
    since = connection.execute(_last_reset(service, environment)).scalar()
    ended = (
        select(rollbacks.c.state)
        .where(
            rollbacks.c.service == service,
            rollbacks.c.environment == environment,
            rollbacks.c.state.in_((*_FAILED, "verified")),
        )
        .order_by(rollbacks.c.id.desc())
        .limit(_LOOK_BACK)
    )
    if since is not None:
        ended = ended.where(rollbacks.c.finished_at > since)
    states = connection.execute(ended).scalars()
    return sum(1 for _ in itertools.takewhile(lambda state: state in _FAILED, states))


def allow_again(connection: Connection, service: str, environment: str, now: datetime, *, by: str, note: str) -> None:
    """A person closes the target's circuit breaker."""
    row = {"service": service, "environment": environment, "at": now, "by": by, "note": note}
    connection.execute(insert(breaker_resets).values(**row))


def usual_duration(connection: Connection, service: str, environment: str) -> timedelta | None:
    """How long the last good rollback of the target took, until it was verified."""
    query = (
        select(rollbacks.c.started_at, rollbacks.c.finished_at)
        .where(rollbacks.c.service == service, rollbacks.c.environment == environment, rollbacks.c.state == "verified")
        .order_by(rollbacks.c.id.desc())
    )
    row = connection.execute(query.limit(1)).first()
    return row.finished_at - row.started_at if row and row.finished_at else None
