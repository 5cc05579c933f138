"""Puts the audit into the transaction of a change: who, as the server or they themselves say, did what from where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import Connection

from deploywatch.access.webconfig import USER
from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.lifecycle.audit import Entry

T = TypeVar("T")

_VERBS = {"POST": "add", "PATCH": "change"}


def audited(
    request: web.Request,
    now: datetime,
    work: Callable[[Connection], T],
    *,
    by: str,
    sent: BaseModel | None = None,
    changed: Callable[[T], bool] = lambda result: result is not None,
) -> Callable[[Connection], T]:
    """The work, and in its transaction a row that says who did it; none where nothing was `changed`."""
    entry = entry_of(request, now, by=by, sent=sent)

    def both(connection: Connection) -> T:
        result = work(connection)
        if changed(result):
            audit.record(connection, entry)
        return result

    return both


def entry_of(request: web.Request, now: datetime, *, by: str, sent: BaseModel | None) -> Entry:
    """The row that says who asked for what, with what they sent."""
    user = request.get(USER, "")
    number = request.match_info.get("id")
    return Entry(
        at=now,
        # Who is signed in counts before what they wrote; `verified` says which of the two it was.
        who=user or by or "somebody",
        verified=bool(user),
        what=_what(request),
        path=request.path,
        incident_id=int(number) if number and "/incidents/" in request.path else None,
        detail=sent.model_dump(mode="json", exclude_defaults=True, by_alias=True) if sent else None,
        remote=request.remote or "",
    )


def _what(request: web.Request) -> str:
    """`incidents.acknowledge`, `deployments.add`: from the route, so that the words are few."""
    resource = request.match_info.route.resource
    # A page's form bears the path of the API's route without its prefix, and is the same change.
    path = (resource.canonical if resource else "").removeprefix("/api/v1")
    words = [word for word in path.split("/")[1:] if "{" not in word]
    return ".".join(words if len(words) > 1 else [*words, _VERBS.get(request.method, request.method.lower())])
