"""A receiver with a night's trouble in it, and one browser, for all tests of the console's pages."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright
from sqlalchemy import Connection, select

from deploywatch.access.webconfig import Access
from deploywatch.pages.live import Live
from deploywatch.receiver.app import Receiver
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import looks, stages, verdicts
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.action_schema import approvals
from deploywatch.receiver.store.people_schema import audit
from deploywatch.receiver.store.schema import incidents
from deploywatch.receiver.verification import judging
from deploywatch.verdict.evidence import Look
from deploywatch.verdict.plan import StagePlan
from deploywatch.web.prefix import strip_from
from tests.receiver.scene import NOON, RecordedChannel, alert, body, settings
from tests.support.browser import ARGUMENTS

LONG = "x" * 200
SECRET = "signs-the-links-of-this-world-0123456789"
EVIL = "<img src=x onerror=\"document.title='hacked'\">"
PLAN = {
    "policy": "shop",
    "stage": "canary-10",
    "share": 0.1,
    "lasts": 600,
    "at_most": 3600,
    "stages": 2,
    "last": False,
    "control": True,
    "look": 60,
    "scrape": 15,
    "limits": [
        {
            "name": "error_rate",
            "signal": "error_rate",
            "limit": 0.01,
            "new": {"requests": "a", "bad": "b"},
            "old": {"requests": "c", "bad": "d"},
        }
    ],
}


@dataclass(slots=True)
class World:
    """The receiver at `url`, what its store holds, and how often the rollback's command ran."""

    url: str
    context: Context
    browser: Browser
    ran: Path
    live: Live
    app: web.Application

    async def page(self, width: int = 390, height: int = 640, **more: Any) -> Page:
        """An empty page of a phone, or of another width; a browser's context of its own."""
        context = await self.browser.new_context(viewport={"width": width, "height": height}, **more)
        context.set_default_timeout(60_000)
        await context.add_cookies([{"name": "deploywatch-name", "value": "ann", "url": self.url}])
        return await context.new_page()

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        """Look into the store."""
        return await self.context.store.read(work)

    async def audited(self) -> int:
        """How many rows the audit has."""
        return len(await self.read(lambda c: c.execute(select(audit.c.id)).all()))

    async def post(self, path: str, json: Any) -> Any:
        """Tell the receiver something over HTTP."""
        async with self.context.http.post(f"{self.url}{path}", json=json) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def fire(self, *alerts: Any) -> None:
        """Send alerts as Alertmanager does."""
        headers = {"Content-Type": "application/json"}
        async with self.context.http.post(
            f"{self.url}/webhook/alertmanager", data=body(*alerts), headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def until(self, query: Any, *, within: float = 120.0) -> Any:
        """The first row of a query, as soon as there is one."""
        deadline = time.monotonic() + within
        while True:
            row = await self.read(lambda c: c.execute(query).mappings().first())
            if row is not None:
                return row
            assert time.monotonic() < deadline, f"not within {within:g} s: {query}"
            await asyncio.sleep(0.05)

    async def ask_for_rollback(self, service: str, *, number: int) -> int:
        """Two deployments, then an alert that asks for a rollback; the incident, once a person is asked."""
        now = datetime.now(UTC)
        for version, ago in (("1.2.2", timedelta(hours=5)), ("1.2.3", timedelta(minutes=12))):
            began = {"timestamp": (now - ago).isoformat(), "status": "success", "duration_seconds": 60}
            new = {"service": service, "environment": "production", "version": version, "deployer": "bob", **began}
            await self.post("/api/v1/deployments", new)
        said = {"summary": f"{service} fails 5 % of its requests", "value": "5.2 %", "threshold": "1 %"}
        said |= {"runbook_url": "https://runbooks.example/errors", "dashboard_url": "https://dash.example/d/1"}
        starts = now - timedelta(minutes=3) - NOON
        place = {"service": service, "severity": "critical", "instance": f"10.0.0.{number}:80"}
        asking: dict[str, Any] = {"action": "rollback", **place}
        await self.fire(alert("HighErrorRate", starts=starts, annotations=said, **asking))
        of = select(approvals.c.incident_id).join(incidents, incidents.c.id == approvals.c.incident_id)
        row = await self.until(of.where(incidents.c.service == service, approvals.c.state == "waiting"))
        return int(row["incident_id"])


@contextlib.asynccontextmanager
async def running(empty_store: Path, folder: Path, **more: Any) -> AsyncIterator[World]:
    """The world: an incident that asks for a rollback, one with long names, one with hostile ones, and a deployment."""
    shutil.copy(empty_store, folder / "store.db")
    ran = folder / "ran"
    command = folder / "deploy"
    command.write_text(f"#!/bin/sh\necho ran >> {ran}\n")
    command.chmod(0o755)
    async with contextlib.AsyncExitStack() as stack:
        config = configured(command, f"sqlite:///{folder}/store.db", **more)
        receiver, app, context, url = await served(stack, config, Access(None))
        driver = await stack.enter_async_context(async_playwright())
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        world = World(url, context, browser, ran, receiver.live, app)
        await _fill(world)
        yield world


async def served(
    stack: contextlib.AsyncExitStack, config: ReceiverConfig, access: Access
) -> tuple[Receiver, web.Application, Context, str]:
    """A receiver that runs until the stack ends, its routes, what it stands on, and its address.

    It stands below the path of the config's `external_url`, where that has one.
    """
    http = await stack.enter_async_context(aiohttp.ClientSession())
    channels = {name: RecordedChannel() for name in config.channels}
    context = Context(config, Store(config.database.get_secret_value()), Templates(), channels, http)
    receiver = Receiver(lambda: config, config, context)
    app = receiver.make_server("127.0.0.1:0", access).app
    server = await stack.enter_async_context(TestServer(app))
    assert server.runner is not None
    strip_from(server.runner.server, config.path_prefix)
    return receiver, app, context, str(server.make_url(f"{config.path_prefix}/")).rstrip("/")


def configured(command: Path, database: str, **more: Any) -> ReceiverConfig:
    """A receiver that asks before it rolls back, with somebody on call."""
    target = {"command": [str(command), "{service}", "{to_version}"], "verify": {"url": "http://127.0.0.1:1/{service}"}}
    people = {"ann": {"channels": ["team"]}, "bob": {"channels": ["team"]}}
    rotations = {"first": {"people": ["ann"]}, "second": {"people": ["bob"]}}
    oncall = {
        "people": people,
        "rotations": rotations,
        "teams": {"shopping": {"services": ["*"], "primary": "first", "secondary": "second"}},
    }
    rollback = {"mode": "approve", "targets": [target], "approval": {"within": "15m", "secret": SECRET}}
    more = {"dependencies": {"checkout": ["payments"]}, **more}
    return settings(
        "team",
        "chat",
        database=database,
        rollback=rollback,
        oncall=oncall,
        **more,
    )


async def _fill(world: World) -> None:
    now = datetime.now(UTC)
    await world.ask_for_rollback("shop", number=1)
    starts = now - timedelta(minutes=40) - NOON
    await world.fire(
        alert("Slow", starts=starts, service="search", severity="medium", annotations={"summary": "search is slow"}),
        alert("L" * 200, starts=starts, service=LONG, environment=LONG, severity="high", annotations={"summary": LONG}),
        alert("Evil", starts=starts, service=EVIL, severity="low", annotations={"summary": EVIL, "runbook_url": EVIL}),
    )
    began = {"timestamp": (now - timedelta(minutes=5)).isoformat(), "deployer": LONG}
    held = await world.post(
        "/api/v1/deployments",
        {"service": "search", "environment": "production", "version": "2.0.0", "artifact": LONG, **began},
    )
    await world.context.store.write(lambda c: _judge(c, held["id"], now))


def _judge(connection: Connection, deployment: int, now: datetime) -> None:
    """A stage that holds, with a look that counted too little."""
    stage = stages.begin(connection, deployment, StagePlan.model_validate(PLAN), now - timedelta(minutes=3))
    look = StoredLook(1, now - timedelta(minutes=2), {"error_rate": Look(120, 1, 900, 4)}, {})
    looks.add(connection, stage.id, look, now)
    decision = judging.decide(stage, [look], now)
    verdicts.record(connection, stage_id=stage.id, deployment_id=deployment, look=1, decision=decision, now=now)
    stages.note_answer(connection, stage.id, decision.answer, decision.reason)
