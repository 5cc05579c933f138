"""Puts the audit into the transaction of a change: who, as the server or they themselves say, did what from where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import Connection

from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.lifecycle.audit import Entry
from deploywatch.webconfig import USER

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
    user = request.get(USER, "")
    number = request.match_info.get("id")
    entry = Entry(
        at=now,
        who=user or by or "somebody",
        verified=bool(user),
        what=_what(request),
        path=request.path,
        incident_id=int(number) if number and "/incidents/" in request.path else None,
        detail=sent.model_dump(mode="json", exclude_defaults=True, by_alias=True) if sent else None,
        remote=request.remote or "",
    )

    def both(connection: Connection) -> T:
        result = work(connection)
        if changed(result):
            audit.record(connection, entry)
        return result

    return both


def _what(request: web.Request) -> str:
    """`incidents.acknowledge`, `deployments.add`: from the route, so that the words are few."""
    resource = request.match_info.route.resource
    words = [word for word in (resource.canonical if resource else "").split("/")[3:] if "{" not in word]
    return ".".join(words if len(words) > 1 else [*words, _VERBS.get(request.method, request.method.lower())])
