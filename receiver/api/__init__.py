"""The HTTP API under /api/v1: incidents, deployments and people, for people, their tools, and CI."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from aiohttp import web

from deploywatch.receiver.api.approvals import Approvals
from deploywatch.receiver.api.audit import Audit
from deploywatch.receiver.api.deployments.assessments import Assessments
from deploywatch.receiver.api.deployments.delivery import DeliveryRoutes
from deploywatch.receiver.api.deployments.gate import GateRoutes
from deploywatch.receiver.api.deployments.imports import Imports
from deploywatch.receiver.api.deployments.ledger import Deployments
from deploywatch.receiver.api.deployments.migrations import Migrations
from deploywatch.receiver.api.deployments.performance import PerformanceRoutes
from deploywatch.receiver.api.deployments.reports import Reports
from deploywatch.receiver.api.deployments.stages import Stages
from deploywatch.receiver.api.incidents import Incidents
from deploywatch.receiver.api.maintenance import Maintenance
from deploywatch.receiver.api.oncall import OnCall
from deploywatch.receiver.api.openapi import Documented, text
from deploywatch.receiver.api.postmortems import Postmortems
from deploywatch.receiver.api.routing import Route, add_routes
from deploywatch.receiver.api.screens import Screens
from deploywatch.receiver.api.taking import Taking
from deploywatch.receiver.context import Context


def routes(context: Context, *, queued: Callable[[], None]) -> tuple[Route, ...]:
    """Every route; `queued` is called when a change may have queued a job."""
    parts = (
        *Incidents(context, queued=queued).routes(),
        *Postmortems(context).routes(),
        *Approvals(context, queued=queued).routes(),
        *Taking(context, queued=queued).routes(),
        *Deployments(context, queued=queued).routes(),
        *Imports(context, queued=queued).routes(),
        *Stages(context, queued=queued).routes(),
        *Assessments(context).routes(),
        *Reports(context).routes(),
        *GateRoutes(context).routes(),
        *DeliveryRoutes(context).routes(),
        *PerformanceRoutes(context).routes(),
        *Migrations(context, queued=queued).routes(),
        *Maintenance(context, queued=queued).routes(),
        *OnCall(context).routes(),
        *Audit(context).routes(),
        *Screens(context).routes(),
    )
    return Documented(parts).routes


def described() -> str:
    """The OpenAPI document of every route, as JSON."""
    nobody = cast("Context", None)  # no handler is called, so nobody needs a context
    return text(routes(nobody, queued=lambda: None))


def add_to(app: web.Application, context: Context, *, queued: Callable[[], None]) -> None:
    """Register the API; bad input is 400 with every fault, an unknown number 404, store trouble 503."""
    add_routes(app, routes(context, queued=queued))
