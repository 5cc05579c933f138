"""`POST /webhook/cdevents`, `/github`, `/argocd` and `/flux`: what others announce, proven, counted and answered.

GitHub and Flux prove themselves by a signature of the body; CDEvents and Argo CD show a credential of the scope
`deploy`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.access.scopes import Scope, needs
from deploywatch.access.webconfig import USER
from deploywatch.receiver.announcements import argocd, cdevents, flux, github, signatures
from deploywatch.receiver.announcements.announced import (
    Announced,
    Became,
    ForgedError,
    Ignored,
    MalformedError,
    Source,
)
from deploywatch.receiver.announcements.taking import Took, take
from deploywatch.receiver.context import Context
from deploywatch.receiver.events.outbox import source_of
from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.store import StoreError, UnfitError

PATHS: Final = {source: f"/webhook/{source}" for source in Source}
SIGNED_PATHS: Final = frozenset({PATHS[Source.GITHUB], PATHS[Source.FLUX]})
"""Open to whoever signs: GitHub can show no credential."""

log = logs.get("announcements")

Count = Callable[[Source, Became], None]
Read = Callable[[web.Request, bytes], list[Announced | Ignored]]


class Announcements:
    """The routes; `queued` is called when there is news to tell, `count` with what became of each."""

    def __init__(self, context: Context, *, queued: Callable[[], None], count: Count) -> None:
        self._context = context
        self._queued = queued
        self._count = count
        self._read: dict[Source, Read] = {
            Source.CDEVENTS: self._cdevents,
            Source.GITHUB: self._github,
            Source.ARGOCD: self._argocd,
            Source.FLUX: self._flux,
        }

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        for source, path in PATHS.items():
            needs(Scope.DEPLOY, app.router.add_post(path, partial(self._take, source)))

    async def _take(self, source: Source, request: web.Request) -> web.Response:
        """200 with what became of it; 401 for what is forged, 400 for what is malformed, 503 without the store."""
        try:
            announced = self._read[source](request, await request.read())
            took = [await self._taken(source, announcement, request) for announcement in announced]
        except ForgedError as error:
            return self._refused(source, Became.FORGED, error, request, 401)
        except (MalformedError, UnfitError) as error:
            return self._refused(source, Became.MALFORMED, error, request, 400)
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": "5"})
        # After the transaction: whoever is woken has to find what was written.
        self._queued()
        return web.json_response(took if source is Source.CDEVENTS and len(took) != 1 else took[0])

    def _refused(
        self, source: Source, became: Became, error: Exception, request: web.Request, status: int
    ) -> web.Response:
        self._count(source, became)
        if became is not Became.FORGED:  # that the server logs with a limit, as anybody can make it happen
            log.warning("an announcement was refused", source=source, remote=request.remote, why=str(error))
        return web.Response(status=status, text=f"{error}\n")

    async def _taken(self, source: Source, announcement: Announced | Ignored, request: web.Request) -> dict[str, Any]:
        if isinstance(announcement, Ignored):
            self._count(source, Became.IGNORED)
            log.info("an event that announces nothing", source=source, why=announcement.why)
            return {"became": Became.IGNORED, "why": announcement.why}
        now = self._context.clock()
        took = await self._context.store.write(lambda c: self._write(c, source, announcement, request, now=now))
        self._count(source, took.became)
        say = log.warning if took.became is Became.CONTRADICTS else log.info
        say("a deployment was announced", source=source, became=took.became, deployment=took.deployment.id)
        answer = {"became": took.became, "deployment": took.deployment.to_json()}
        return {**answer, **({"why": took.why} if took.why else {})}

    def _write(
        self, connection: Connection, source: Source, announcement: Announced, request: web.Request, *, now: datetime
    ) -> Took:
        took = take(connection, self._context, announcement, now)
        if took.became in (Became.BEGAN, Became.ENDED):
            user = request.get(USER, "")
            entry = audit.Entry(
                at=now,
                who=user or announcement.deployer or source,
                verified=bool(user),
                what=f"{source}.{took.became}",
                path=request.path,
                detail={"deployment": took.deployment.id},
                remote=request.remote or "",
            )
            audit.record(connection, entry)
        return took

    def _cdevents(self, request: web.Request, body: bytes) -> list[Announced | Ignored]:
        settings = self._context.settings
        ours = source_of(settings)
        events = cdevents.bodies_of(request.content_type, body)
        return [cdevents.parse(event, settings.announcements, ours=ours) for event in events]

    def _github(self, request: web.Request, body: bytes) -> list[Announced | Ignored]:
        names = self._context.settings.announcements
        secrets = names.github.secrets if names.github else ()
        signatures.verify(request.headers.get(github.SIGNATURE, ""), body, secrets, key="announcements.github.secret")
        assert names.github is not None  # noqa: S101 - without it, no signature is good
        if request.content_type != "application/json":
            raise MalformedError("choose the content type application/json for this webhook in GitHub")
        return [github.parse(request.headers.get(github.EVENT, ""), body, names, names.github)]

    def _argocd(self, request: web.Request, body: bytes) -> list[Announced | Ignored]:
        return [argocd.parse(body, self._context.settings.announcements)]

    def _flux(self, request: web.Request, body: bytes) -> list[Announced | Ignored]:
        names = self._context.settings.announcements
        secrets = names.flux.secrets if names.flux else ()
        signatures.verify(request.headers.get(flux.SIGNATURE, ""), body, secrets, key="announcements.flux.secret")
        assert names.flux is not None  # noqa: S101 - without it, no signature is good
        return [flux.parse(body, names, names.flux)]
