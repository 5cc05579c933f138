"""A rollback by CI from alert to proof: followed to its end, unknown when nobody can know, hostile names inert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import HOUR, MINUTE, Scene, alert

TOKEN = "very-secret-token"


@dataclass(slots=True)
class Ci:
    """Takes jobs, and says of each how it stands."""

    url: str = ""
    jobs: list[Any] = field(default_factory=list)
    status: int = 201
    state: str = "success"

    async def start(self, request: web.Request) -> web.Response:
        """Take a job."""
        self.jobs.append(await request.json())
        return web.json_response({"id": len(self.jobs)}, status=self.status)

    async def show(self, request: web.Request) -> web.Response:
        """Say how one stands."""
        return web.json_response({"result": self.state})


@pytest.fixture
async def ci() -> AsyncIterator[Ci]:
    """A CI server."""
    running = Ci()
    app = web.Application()
    app.router.add_post("/runs", running.start)
    app.router.add_get("/runs/1", running.show)
    async with TestServer(app) as server:
        running.url = str(server.make_url("/runs"))
        yield running


async def by_ci(ground: Ground, ci: Ci, service: str = "shop") -> Scene:
    """A scene whose rollback is a job of this CI."""
    http = {
        "url": ci.url,
        "token": TOKEN,
        "body": {"service": "{service}", "version": "{to_version}"},
        "follow": {"url": f"{ci.url}/{{run}}", "run": "id", "state": "result"},
    }
    return await ground.scene(target={"command": None, "http": http, "service": service})


async def test_a_run_that_succeeds_is_verified(ground: Ground, ci: Ci) -> None:
    scene = await by_ci(ground, ci)
    await scene.take(critical())
    await scene.drain()
    assert ci.jobs == [{"service": "shop", "version": "1.2.2"}]
    assert len(await scene.lines("rollback_verified")) == 1


async def test_a_run_that_fails_is_told_and_escalates(ground: Ground, ci: Ci) -> None:
    ci.state = "failure"
    scene = await by_ci(ground, ci)
    await scene.take(critical())
    await scene.drain()
    assert await scene.lines("rollback_failed") == ["rollback failed: the run ended with failure"]
    assert any("the rollback to 1.2.2 failed" in line for line in await scene.lines("escalated"))


async def test_when_nobody_knows_whether_it_began_it_is_checked_and_never_begun_again(ground: Ground, ci: Ci) -> None:
    ci.status = 502
    scene = await by_ci(ground, ci)
    await scene.take(critical())
    await scene.drain()
    await scene.after(HOUR)
    assert len(ci.jobs) == 1
    (line,) = await scene.lines("rollback_unknown")
    assert "HTTP 502" in line
    assert Event.ROLLBACK_UNKNOWN in scene.channels["team"].events
    assert any("is unknown" in line for line in await scene.lines("escalated"))
    assert len(await scene.lines("rollback_verified")) == 1
    (now, *_) = await scene.read(lambda c: ledger.recent(c, limit=9))
    assert (now.version, now.rollback_of) == ("1.2.2", 2)


async def test_the_token_is_in_no_message_and_on_no_timeline(ground: Ground, ci: Ci) -> None:
    ci.status = 422
    scene = await by_ci(ground, ci)
    await scene.take(critical())
    await scene.drain()
    (failed,) = await scene.lines("rollback_failed")
    shown = [failed, *(message.body for message in scene.channels["team"].messages)]
    assert not [text for text in shown if TOKEN in text]


@pytest.mark.parametrize(
    "service", ["../../admin", "{{7*7}}", "{to_version}", "shop; id", "--all", "a\r\nX: y", "$(id)"]
)
async def test_a_hostile_service_reaches_no_executor(ground: Ground, ci: Ci, service: str) -> None:
    scene = await by_ci(ground, ci, service="*")
    await scene.deployed("1", ago=HOUR, service=service)
    await scene.deployed("2", ago=MINUTE, service=service)
    await scene.take(alert(service=service, severity="critical"))
    await scene.drain()
    assert ci.jobs == []
    assert "(unsafe_value): service " in (await scene.lines("rollback_refused"))[0]
