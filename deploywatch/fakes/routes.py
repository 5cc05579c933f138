"""How a stand-in of the inbox answers over HTTP: a table of routes, one module a service.

Each answers as its service is documented to; a credential that begins with `wrong` is one that the service refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from deploywatch.fakes.store import Inbox

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its JSON object (None where it bears none), parts of its path, its query and headers."""

    body: Fields | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; a mapping is sent as JSON."""

    body: Mapping[str, Any] | str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a kind of channel asks, and who answers."""

    channel: str
    method: str
    path: str
    answer: Callable[[Asked, Inbox], Said]


async def answer(route: Route, request: web.Request, inbox: Inbox) -> web.Response:
    """Have the route's stand-in answer."""
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = None
    asked = Asked(body if isinstance(body, dict) else None, request.match_info, request.query, request.headers)
    reply = route.answer(asked, inbox)
    if isinstance(reply.body, str):
        return web.Response(status=reply.status, text=reply.body, headers=reply.headers)
    return web.json_response(reply.body, status=reply.status, headers=reply.headers)


def is_wrong(credential: str) -> bool:
    """Whether the service refuses it."""
    return not credential or credential.startswith("wrong")
