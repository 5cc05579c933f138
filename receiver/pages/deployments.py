"""The pages of deployments: the ledger, one with its stages and evidence, the gate, and a service in an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from deploywatch.receiver.api.deployments.gate import asked_of
from deploywatch.receiver.api.routing import number
from deploywatch.receiver.deployments import approvals, ledger, stages, verdicts
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.incidents import store
from deploywatch.receiver.pages.console import Console, Handler
from deploywatch.receiver.report import gather, rendering
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.suppression import maintenance
from deploywatch.receiver.suppression.windows import Window
from deploywatch.receiver.verification import gate, judging
from deploywatch.receiver.verification.question import Asked, Standing

MOST = 100
_OF_SERVICE = 10
_LOOKS = 20


class DeploymentPages:
    """`/deployments`, `/deployments/12` with its report, `/gate` and `/services/shop/production`."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> tuple[tuple[str, Handler], ...]:
        """The paths, and what answers each."""
        return (
            ("/deployments", self._ledger),
            (r"/deployments/{id:\d+}", self._deployment),
            (r"/deployments/{id:\d+}/report", self._report),
            ("/gate", self._gate),
            ("/services/{service}/{environment}", self._service),
        )

    async def _ledger(self, request: web.Request) -> web.Response:
        service, environment = request.query.get("service") or None, request.query.get("environment") or None
        rows = await self._console.context.store.read(
            lambda c: ledger.recent(c, limit=MOST, service=service, environment=environment)
        )
        return await self._console.page(
            request,
            "deployments.html",
            deployments=rows,
            most=MOST,
            service=service or "",
            environment=environment or "",
        )

    async def _deployment(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._console.context
        now = context.clock()
        deployment = await context.store.read(lambda c: ledger.find(c, wanted))
        if deployment is None:
            return await self._console.missing(request, f"deployment {wanted}")
        of = await context.store.read(lambda c: stages.of_deployment(c, wanted))
        shown = await context.store.read(lambda c: [_judged(c, stage) for stage in of])
        looks = await context.store.read(lambda c: verdicts.of_deployment(c, wanted, limit=_LOOKS))
        words = await context.store.read(
            lambda c: approvals.of_version(c, deployment.service, deployment.environment, deployment.version)
        )
        # Only where somebody could accept it: a form that is answered with 409 is worse than none.
        holds = of[-1] if of and of[-1].state is StageState.RUNNING and of[-1].answer != "promote" else None
        return await self._console.page(
            request,
            "deployment.html",
            deployment=deployment,
            stages=shown,
            looks=looks,
            holds=holds,
            approvals=words,
            lasted=(deployment.finished_at or now) - deployment.started_at,
            undone=await context.store.read(lambda c: _undone(c, wanted)),
        )

    async def _report(self, request: web.Request) -> web.Response:
        wanted, context = number(request), self._console.context
        report = await context.store.read(lambda c: gather.report(c, context.settings, wanted, context.clock()))
        if report is None:
            return await self._console.missing(request, f"deployment {wanted}")
        return await self._console.page(
            request, "report.html", number=wanted, report=report, body=rendering.body(report)
        )

    async def _gate(self, request: web.Request) -> web.Response:
        context, query = self._console.context, request.query
        asked = Asked(**dict(asked_of(query))) if query.get("service") else None
        state = await gate.look(context, asked) if asked else None
        given = await context.store.read(
            lambda c: approvals.of_version(c, asked.service, asked.environment, asked.version) if asked else []
        )
        return await self._console.page(
            request,
            "gate.html",
            asked=asked,
            gate=state,
            approvals=[approval for approval in given if approval.withdrawn_at is None],
            roles=_roles(state) if state else [],
            open_standing=Standing.OPEN,
        )

    async def _service(self, request: web.Request) -> web.Response:
        service, environment = request.match_info["service"], request.match_info["environment"]
        context = self._console.context
        view = await context.store.read(lambda c: self._of_service(c, service, environment))
        # A service has no row of its own; what nobody ever told of does not exist here.
        if not view["deployments"] and not view["incidents"]:
            return await self._console.missing(
                request, f"deployment or incident of {service} in {environment}, as far as this receiver knows"
            )
        return await self._console.page(request, "service.html", service=service, environment=environment, **view)

    def _of_service(self, connection: Connection, service: str, environment: str) -> dict[str, Any]:
        context = self._console.context
        windows = maintenance.upcoming(connection, context.settings.maintenance, context.clock())
        deployed = ledger.recent(connection, limit=_OF_SERVICE, service=service, environment=environment)
        return {
            "deployments": deployed,
            "runs": next(
                (deployment.version for deployment in deployed if deployment.status == Status.SUCCEEDED), None
            ),
            "incidents": store.recent(
                connection, only_open=False, limit=_OF_SERVICE, service=service, environment=environment
            ),
            "windows": [window for window in windows if _concerns(window, service, environment)],
            "target": context.settings.rollback.target(service, environment),
            "team": context.settings.oncall.team_of(service),
            "needs": _standing(connection, context.settings.dependencies.get(service, ()), environment),
            "needed_by": _standing(connection, _dependents(context.settings.dependencies, service), environment),
        }


def _judged(connection: Connection, stage: RunningStage) -> dict[str, Any]:
    """A stage with its newest verdict, and how far the evidence of each limit has come."""
    newest = verdicts.newest(connection, stage.id)
    progress = judging.progress(stage.plan, newest.findings) if newest else []
    return {
        "stage": stage,
        "verdict": newest,
        "evidence": list(zip(newest.findings, progress, strict=True)) if newest else [],
    }


def _undone(connection: Connection, wanted: int) -> Any:
    query = rollbacks.select().where(rollbacks.c.deployment_id == wanted)
    return connection.execute(query).mappings().first()


def _roles(state: gate.Gate) -> list[str]:
    """The roles whose approval the gate still lacks."""
    lacking = [check for check in state.checks if check.require.startswith("approval") and check.standing != "open"]
    return [role for check in lacking for role in check.require.removeprefix("approval").strip().split(", ") if role]


def _concerns(window: Window, service: str, environment: str) -> bool:
    return window.service in ("*", service) and window.environment in ("*", environment)


def _dependents(dependencies: Mapping[str, Sequence[str]], service: str) -> list[str]:
    """The services that need this one."""
    return [name for name, needed in dependencies.items() if service in needed]


def _standing(connection: Connection, services: Sequence[str], environment: str) -> list[tuple[str, Any]]:
    """Each service with its newest open incident, or None."""
    standing = []
    for name in services:
        rows = store.recent(connection, only_open=True, limit=1, service=name, environment=environment)
        standing.append((name, rows[0] if rows else None))
    return standing
