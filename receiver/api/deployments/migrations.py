"""Database migrations over HTTP: `deploywatch migrate` says how one ended, and people list them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import Field
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, limit, read_body
from deploywatch.receiver.api.schemas.migrations import MigrationAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import migrations
from deploywatch.receiver.deployments.migrations import Migration, Outcome
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.intake import migration_alert

_CLOCKS_DIFFER = timedelta(hours=1)
_MOST_INCIDENTS = 100


class NewMigration(Settings):
    """How a migration of a service's database ended; the same one is recorded once."""

    by: Name
    service: Name
    environment: Name
    name: Name
    outcome: Outcome
    reason: Remark = ""
    restore: Annotated[Remark, Field(max_length=2000)] = ""
    started_at: UtcTime
    finished_at: UtcTime


class Migrations:
    """The routes below /migrations; `queued` is called when there is something to tell."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        narrow = ("service", "environment", "limit")
        listed, answer = list[MigrationAnswer], MigrationAnswer
        return (
            Route("GET", "/migrations", Scope.READ, self.listed, query=narrow, answer=listed),
            Route(
                "POST",
                "/migrations",
                Scope.DEPLOY,
                self.record,
                body=NewMigration,
                status=201,
                answer=answer,
                may_be_known=True,
            ),
        )

    async def listed(self, request: web.Request) -> web.Response:
        """List database migrations, the newest first; `?service=` and `?environment=` narrow it."""
        service, environment, most = request.query.get("service"), request.query.get("environment"), limit(request)
        rows = await self._context.store.read(
            lambda c: list(migrations.recent(c, limit=most, service=service, environment=environment))
        )
        return web.json_response([migration.to_json() for migration in rows])

    async def record(self, request: web.Request) -> web.Response:
        """Record how a database migration ended; one that did not go well tells people. 200 where it was known."""
        sent, now = await read_body(request, NewMigration), self._context.clock()
        if sent.finished_at > now + _CLOCKS_DIFFER or sent.started_at > sent.finished_at:
            raise web.HTTPBadRequest(text="$.finished_at: is in the future, or before started_at\n")

        def write(connection: Connection) -> tuple[Migration, bool]:
            migration, new = migrations.record(connection, Migration(**dict(sent), recorded_at=now))
            if new:
                _tell_incidents(connection, migration)
                if migration.outcome is not Outcome.COMMITTED:
                    migration_alert.queue(connection, migration, now)
            return migration, new

        written = audited(request, now, write, by=sent.by, sent=sent, changed=lambda result: result[1])
        migration, new = await self._context.store.write(written)
        self._queued()
        return web.json_response(migration.to_json(), status=201 if new else 200)


def _tell_incidents(connection: Connection, migration: Migration) -> None:
    """Write it on the timelines of the service's open incidents."""
    place = {"service": migration.service, "environment": migration.environment}
    for incident in store.recent(connection, only_open=True, limit=_MOST_INCIDENTS, **place):
        timeline.write(connection, incident.id, migration.finished_at, Kind.MIGRATED, migration.sentence)
