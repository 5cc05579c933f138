"""The HTTP API under /api/v1: incidents and deployments for people, their tools, and CI."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from receiver.api.approvals import Approvals
from receiver.api.audit import Audit
from receiver.api.deployments import Deployments
from receiver.api.incidents import Incidents
from receiver.api.maintenance import Maintenance
from receiver.api.oncall import OnCall
from receiver.api.routing import Route, add_routes
from receiver.desk import Desk


def routes(desk: Desk, *, queued: Callable[[], None]) -> tuple[Route, ...]:
    """Every route; `queued` is called when a change may have queued a job."""
    return (
        *Incidents(desk, queued=queued).routes(),
        *Approvals(desk, queued=queued).routes(),
        *Deployments(desk).routes(),
        *Maintenance(desk, queued=queued).routes(),
        *OnCall(desk).routes(),
        *Audit(desk).routes(),
    )


def add_to(app: web.Application, desk: Desk, *, queued: Callable[[], None]) -> None:
    """Register the API; bad input is 400 with every fault, an unknown number 404, store trouble 503."""
    add_routes(app, routes(desk, queued=queued))
