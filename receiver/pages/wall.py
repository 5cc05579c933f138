"""The wall: what waits, read-only and large, for a screen that nobody touches; by a sign-in, or a link of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.access.guesses import Refusal
from deploywatch.access.webconfig import Access
from deploywatch.pages import answer
from deploywatch.pages.live import PATH as LIVE
from deploywatch.pages.live import Live
from deploywatch.receiver import screens
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.api.screens import SCREEN
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.escalation.on_call import gaps, on_call
from deploywatch.receiver.escalation.upcoming import next_steps
from deploywatch.receiver.events import outbox
from deploywatch.receiver.incidents import store
from deploywatch.receiver.pages.console import TEMPLATES, Console, Handler
from deploywatch.receiver.pages.now import MOST, question, urgency
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import StoreError

SCREEN_LIVE = f"{SCREEN}{LIVE}"
_RUNNING = 50
_NOT_KNOWN = "This link leads to no screen: it was revoked, or is not whole. Make another on /screens."


class WallPage:
    """`/wall`, for whoever may read."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The path, and what answers it."""
        return (("/wall", self._wall),)

    async def _wall(self, request: web.Request) -> web.Response:
        return await wall(self._console, request, stream=LIVE)


async def wall(console: Console, request: web.Request, *, stream: str) -> web.Response:
    """The page, which listens to this stream."""
    context = console.context
    now, schedule = context.clock(), context.settings.oncall
    view = await context.store.read(lambda c: _read(c, context.settings, now))
    return await console.page(
        request,
        "wall.html",
        stream=stream,
        duties=[duty for duty in on_call(schedule, now) if duty.role == "primary"],
        gaps=gaps(schedule, now),
        most=MOST,
        **view,
    )


def _read(connection: Connection, settings: ReceiverConfig, now: datetime) -> dict[str, Any]:
    incidents = store.recent(connection, only_open=True, limit=MOST)
    steps = next_steps(connection, settings, incidents)
    recent = ledger.recent(connection, limit=_RUNNING)
    return {
        "cut": len(incidents) == MOST,
        "incidents": sorted(incidents, key=lambda incident: urgency(incident, steps, now)),
        "steps": steps,
        "questions": [question(connection, asked) for asked in approval.waiting(connection, now)],
        "running": [deployment for deployment in recent if deployment.status == Status.RUNNING],
        "trouble": outbox.trouble(connection, now),
    }


class ScreenPage:
    """`/screen?key=…`: the wall for whoever holds a screen's link, and nothing else."""

    def __init__(self, console: Console, access: Access, live: Live) -> None:
        self._console = console
        self._access = access
        self._live = live

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The paths, and what answers each."""
        return ((SCREEN, self._shown), (SCREEN_LIVE, self._told))

    async def _shown(self, request: web.Request) -> web.StreamResponse:
        key = request.query.get("key", "")
        if not await self._known(key):
            return self._refused(request)
        return await wall(self._console, request, stream=f"{SCREEN_LIVE}?key={key}")

    async def _told(self, request: web.Request) -> web.StreamResponse:
        key = request.query.get("key", "")
        if not await self._known(key):
            self._access.guesses.note(Refusal.SCREEN, request.remote or "")
            return web.Response(status=403, text=f"{_NOT_KNOWN}\n")

        async def still() -> bool:
            try:
                return await self._known(key)
            except StoreError:
                return True  # nobody can tell now; it is asked again

        return await self._live.listen(request, still)

    async def _known(self, key: str) -> bool:
        return await self._console.context.store.read(lambda connection: screens.is_known(connection, key))

    def _refused(self, request: web.Request) -> web.Response:
        """It asks for nothing that only who may read is to know."""
        self._access.guesses.note(Refusal.SCREEN, request.remote or "")
        prefix = self._console.context.settings.path_prefix
        return answer.page(TEMPLATES, "no_screen.html", status=403, prefix=prefix, why=_NOT_KNOWN)
