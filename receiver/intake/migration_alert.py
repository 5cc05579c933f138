"""A database migration that did not go well tells people as an alert does.

The alert is taken in as a webhook's is: it opens an incident, or joins the one that is open. It resolves when a later
migration of that service and environment is committed, or a person resolves its incident. It asks for no rollback of
the service: what fits the old database may not fit what is there now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.receiver.alert import Alert, within
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import migrations
from deploywatch.receiver.deployments.migrations import Migration, Outcome
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome as Done
from deploywatch.receiver.jobs.retry import done, retry

KIND: Final = "migration_alert"
SOURCE: Final = "migration"
NAME: Final = "DatabaseMigrationFailed"
_LOOK_AGAIN: Final = timedelta(seconds=10)
# Nobody knows what the database is now, or it is half of what it should be: somebody has to look at once.
_URGENT: Final = {Outcome.UNKNOWN, Outcome.COMMITTED_NOT_FINISHED}

Accept = Callable[[Delivery], Awaitable[None]]


def queue(connection: Connection, migration: Migration, now: datetime) -> None:
    """Have people told of a migration that did not go well."""
    key = f"{KIND}:{migration.id}"
    enqueue(connection, now, NewJob(KIND, key, key, now, payload={"migration": migration.id}))


async def handle(context: Context, job: Job, accept: Accept | None = None) -> Done:
    """Take the alert in as firing, look until its reason is gone, then take it in as resolved."""
    now = context.clock()
    state = await context.store.read(lambda connection: _state(connection, job.payload["migration"]))
    if state is None:
        return done("there is no such migration any more")
    migration, fired, over = state
    alert = _alert(migration, now if over else None)
    if over or not fired:
        delivery = Delivery(now, f"{NAME} {migration.id}".encode(), (alert,))
        if accept is not None:
            await accept(delivery)
        else:
            await context.store.write(lambda connection: ingest(connection, context.settings, [delivery], now))
    return done("its reason is gone") if over else retry("until the next one is committed", _LOOK_AGAIN)


def _state(connection: Connection, number: int) -> tuple[Migration, bool, bool] | None:
    """The migration, whether its alert has fired, and whether its reason is gone."""
    migration = migrations.find(connection, number)
    if migration is None:
        return None
    fingerprint = _fingerprint(migration)
    episode, incident_id = alert_store.episodes(connection, [fingerprint]).get(fingerprint, (None, None))
    incident = store.find(connection, incident_id) if incident_id else None
    # A person may say that it is over without another migration; the alert would else open it again.
    resolved = incident is not None and incident.resolved_at is not None
    return migration, episode is not None, resolved or migrations.committed_after(connection, migration)


def _alert(migration: Migration, ended: datetime | None) -> Alert:
    labels = {
        "alertname": NAME,
        AlertLabel.SERVICE: migration.service,
        AlertLabel.ENVIRONMENT: migration.environment,
        # Nothing was deployed by it: where it is urgent, that is said by the action.
        AlertLabel.SEVERITY: "medium",
        AlertLabel.INCIDENT_TYPE: "database_migration",
        AlertLabel.ACTION: "escalate" if migration.outcome in _URGENT else "notify",
        "migration": migration.name,
    }
    restore = f"To restore what was before, which loses what was written since: {migration.restore}"
    annotations = {
        AlertAnnotation.SUMMARY: f"{migration.service} in {migration.environment}: {migration.sentence}",
        AlertAnnotation.DESCRIPTION: restore if migration.restore else "",
    }
    kept = {key: text for key, text in annotations.items() if text}
    return Alert(_fingerprint(migration), ended is None, migration.finished_at, ended, labels, kept)


def _fingerprint(migration: Migration) -> str:
    return within(SOURCE, str(migration.id))
