"""The console's smaller pages: who is on call, maintenance windows, the audit, and what the receiver says of itself."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, func, select

from deploywatch.receiver.api.oncall import time_of
from deploywatch.receiver.api.routing import limit
from deploywatch.receiver.escalation.on_call import gaps, leads, on_call
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.notify import queueing
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.notify.unsent import told
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import maintenance

_FAILURES = 10


class Lists:
    """`/oncall`, `/maintenance`, `/audit` and `/about`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The paths, and what answers each."""
        return (
            ("/oncall", self._on_call),
            ("/maintenance", self._maintenance),
            ("/audit", self._audit),
            ("/about", self._about),
        )

    async def _on_call(self, request: web.Request) -> web.Response:
        context = self._console.context
        schedule, at = context.settings.oncall, time_of(request, "at", context.clock())
        return await self._console.page(
            request,
            "oncall.html",
            at_time=at if request.query.get("at") else None,
            duties=on_call(schedule, at),
            gaps=gaps(schedule, at),
            leads=leads(schedule, at),
            schedule=schedule,
        )

    async def _maintenance(self, request: web.Request) -> web.Response:
        context = self._console.context
        windows = await context.store.read(
            lambda c: maintenance.upcoming(c, context.settings.maintenance, context.clock())
        )
        return await self._console.page(request, "maintenance.html", windows=windows)

    async def _audit(self, request: web.Request) -> web.Response:
        text, who, most = request.query.get("incident", ""), request.query.get("who") or None, limit(request)
        # 18 digits fit into the database's integer, 19 may not.
        if text and not re.fullmatch("[0-9]{1,18}", text):
            raise web.HTTPBadRequest(text=f"incident={text[:40]}: write the number of an incident")
        wanted = int(text) if text else None
        rows = await self._console.context.store.read(
            lambda c: audit.entries(c, limit=most, incident_id=wanted, who=who)
        )
        return await self._console.page(
            request, "audit.html", rows=rows, wanted=text, who=who or "", cut=len(rows) == most
        )

    async def _about(self, request: web.Request) -> web.Response:
        context = self._console.context
        standing = await context.store.read(lambda c: _standing(c, tuple(context.channels), context.clock()))
        return await self._console.page(request, "about.html", started=context.started_at, **standing)


def _standing(connection: Connection, channels: tuple[str, ...], now: datetime) -> dict[str, Any]:
    """The queue, what failed last, and of each channel when it last worked and what waits for it."""
    waiting = select(func.count()).select_from(jobs).where(jobs.c.state == State.READY)
    due = waiting.where(jobs.c.run_at <= now)
    failed = (
        select(jobs.c.kind, jobs.c.note, jobs.c.incident_id, jobs.c.finished_at)
        .where(jobs.c.state == State.FAILED)
        .order_by(jobs.c.finished_at.desc())
        .limit(_FAILURES)
    )
    return {
        "later": connection.execute(waiting).scalar_one(),
        "due": connection.execute(due).scalar_one(),
        "failed": [dict(row) for row in connection.execute(failed).mappings()],
        "channels": [_channel(connection, name) for name in channels],
    }


def _channel(connection: Connection, name: str) -> dict[str, Any]:
    of = jobs.c.kind == KIND, jobs.c.queue == queueing.queue_of(name)
    worked = select(func.max(jobs.c.finished_at)).where(*of, told())
    waits = select(func.count(), func.max(jobs.c.note)).where(*of, jobs.c.state == State.READY, jobs.c.attempts > 0)
    count, note = connection.execute(waits).one()
    return {"name": name, "worked": connection.execute(worked).scalar(), "waiting": count, "note": note or ""}
