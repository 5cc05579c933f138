"""The API in front of a scene: asked over real HTTP, as a user whose name was checked where one is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from deploywatch.access.webconfig import USER
from deploywatch.receiver.api import add_to
from tests.receiver.scene import Scene


@dataclass(slots=True)
class Answered:
    """One answer; `data` is its JSON or its text."""

    status: int
    data: Any


@dataclass(slots=True)
class Front:
    """The API, served, and how often it woke the worker."""

    scene: Scene
    http: TestClient[web.Request, web.Application]
    woken: list[None]

    async def __call__(self, method: str, path: str, body: Any = None) -> Answered:
        """Ask; a body that is bytes is sent as it is."""
        sent = {"data": BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        async with self.http.request(method, f"/api/v1{path}", **sent) as answer:
            is_json = answer.content_type == "application/json"
            return Answered(answer.status, await answer.json() if is_json else await answer.text())


@asynccontextmanager
async def front_of(scene: Scene, *, user: str = "") -> AsyncIterator[Front]:
    """Serve the API of a scene; `user` is whom the server would have checked."""

    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        if user:
            request[USER] = user
        return await handler(request)

    app, woken = web.Application(middlewares=[known]), list[None]()
    add_to(app, scene.context, queued=lambda: woken.append(None))
    async with TestClient(TestServer(app)) as client:
        yield Front(scene, client, woken)
