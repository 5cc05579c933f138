"""The HTTP API under /api/v1: incidents, deployments and people, for people, their tools, and CI."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from aiohttp import web

from receiver.api.approvals import Approvals
from receiver.api.audit import Audit
from receiver.api.deployments import Deployments
from receiver.api.incidents import Incidents
from receiver.api.maintenance import Maintenance
from receiver.api.oncall import OnCall
from receiver.api.openapi import Documented, text
from receiver.api.routing import Route, add_routes
from receiver.desk import Desk


def routes(desk: Desk, *, queued: Callable[[], None]) -> tuple[Route, ...]:
    """Every route; `queued` is called when a change may have queued a job."""
    parts = (
        *Incidents(desk, queued=queued).routes(),
        *Approvals(desk, queued=queued).routes(),
        *Deployments(desk, queued=queued).routes(),
        *Maintenance(desk, queued=queued).routes(),
        *OnCall(desk).routes(),
        *Audit(desk).routes(),
    )
    return Documented(parts).routes


def described() -> str:
    """The OpenAPI document of every route, as JSON."""
    nobody = cast("Desk", None)  # no handler is called, so nobody needs a desk
    return text(routes(nobody, queued=lambda: None))


def add_to(app: web.Application, desk: Desk, *, queued: Callable[[], None]) -> None:
    """Register the API; bad input is 400 with every fault, an unknown number 404, store trouble 503."""
    add_routes(app, routes(desk, queued=queued))
