"""Maintenance windows over HTTP: which are open or to come, begin one, end one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Self

from aiohttp import web
from pydantic import Field, model_validator
from sqlalchemy import Connection

from deploywatch.access.scopes import Scope
from deploywatch.clock import UtcTime
from deploywatch.config import Settings
from deploywatch.quantity import Duration
from deploywatch.receiver.api.auditing import audited
from deploywatch.receiver.api.routing import Name, Remark, Route, not_found, number, read_body
from deploywatch.receiver.api.schemas.maintenance import WindowAnswer
from deploywatch.receiver.context import Context
from deploywatch.receiver.suppression import holding, maintenance
from deploywatch.receiver.suppression.windows import Window

# A window that nobody ends must not silence a service for good.
# A window that is forgotten silences a service; after a month somebody has to say so again.
_LONGEST = timedelta(days=31)


class NewWindow(Settings):
    """A window for a service in an environment (`*`: any): from now or `starts_at`, for a time or until `ends_at`."""

    by: Name
    service: Name
    environment: Name = "*"
    starts_at: UtcTime | None = None
    ends_at: UtcTime | None = None
    lasts: Duration | None = None
    tell: bool = False
    reason: Annotated[Remark, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.ends_at is None) == (self.lasts is None):
            raise ValueError("give either ends_at or lasts")
        return self

    def window(self, now: datetime) -> Window:
        """The window in time; ValueError when it would end before it begins, or last too long."""
        starts = self.starts_at or now
        if self.lasts is not None and self.lasts > _LONGEST:
            raise ValueError("a window lasts at most 31d")
        ends = self.ends_at or starts + (self.lasts or timedelta())
        if not max(starts, now) < ends <= starts + _LONGEST:
            raise ValueError("a window must end after it begins, in the future, and after at most 31d")
        return Window(
            service=self.service,
            environment=self.environment,
            starts_at=starts,
            ends_at=ends,
            tell=self.tell,
            reason=self.reason or "maintenance",
            created_by=self.by,
        )


class EndWindow(Settings):
    """Who ends a window before its time."""

    by: Name


class Maintenance:
    """The routes below /maintenance; `queued` is called when a change may have made a job due."""

    def __init__(self, context: Context, *, queued: Callable[[], None]) -> None:
        self._context = context
        self._queued = queued

    def routes(self) -> tuple[Route, ...]:
        """Every route."""
        window = WindowAnswer
        return (
            Route("GET", "/maintenance", Scope.READ, self.windows, answer=list[WindowAnswer]),
            Route("POST", "/maintenance", Scope.RESPOND, self.start, body=NewWindow, status=201, answer=window),
            Route("POST", "/maintenance/{id}/end", Scope.RESPOND, self.end, body=EndWindow, answer=window),
        )

    async def windows(self, _: web.Request) -> web.Response:
        """List the windows that are open or to come, the earliest first; recurring ones while they are open."""
        context, now = self._context, self._context.clock()
        windows = await context.store.read(lambda c: maintenance.upcoming(c, context.settings.maintenance, now))
        return web.json_response([window_json(window, now) for window in windows])

    async def start(self, request: web.Request) -> web.Response:
        """Begin a window, now or later: actions for its services wait until it ends, and so do messages."""
        new, now = await read_body(request, NewWindow), self._context.clock()
        try:
            window = new.window(now)
        # OverflowError: an end in the year 9999 plus a duration.
        except (ValueError, OverflowError) as error:
            raise web.HTTPBadRequest(text=f"$: {error}\n") from error

        def write(connection: Connection) -> Window:
            return maintenance.start(connection, window, now)

        stored = await self._context.store.write(audited(request, now, write, by=new.by, sent=new))
        return web.json_response(window_json(stored, now), status=201)

    async def end(self, request: web.Request) -> web.Response:
        """End a window before its time: what it held is done, where it is still needed."""
        person, wanted, now = await read_body(request, EndWindow), number(request), self._context.clock()

        def write(connection: Connection) -> Window | None:
            ended = maintenance.end(connection, wanted, now, person.by)
            # What the window held back goes on now, and not when it would have ended by itself.
            holding.look_again(connection, now)
            return ended

        window = await self._context.store.write(audited(request, now, write, by=person.by, sent=person))
        self._queued()
        return web.json_response(window_json(window, now)) if window else not_found("maintenance window", wanted)


def window_json(window: Window, now: datetime) -> WindowAnswer:
    """A window as the API gives it."""
    return {
        "id": window.id,
        "service": window.service,
        "environment": window.environment,
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat(),
        "open": window.starts_at <= now < window.ends_at,
        "tell": window.tell,
        "reason": window.reason,
        "created_by": window.created_by,
        "ended_by": window.ended_by,
    }
