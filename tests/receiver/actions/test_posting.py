"""Tickets and status pages: one an incident, the same key at each try, hostile text only data, no token shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.config import redacted
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, settings

TOKEN = "very-secret-token"
KEY = "deploywatch-1-1777636800"


@dataclass(slots=True)
class Desk:
    """A ticket system: takes JSON, and answers as it is told, the last answer for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [201])
    taken: list[tuple[dict[str, str], Any]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Take a ticket."""
        self.taken.append((dict(request.headers), await request.json()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response({"issue": {"url": "https://tickets.example/7", "echo": TOKEN}}, status=status)


@pytest.fixture
async def tickets() -> AsyncIterator[Desk]:
    """A ticket system that works."""
    running = Desk()
    app = web.Application()
    app.router.add_post("/issues", running.take)
    async with TestServer(app) as server:
        running.url = str(server.make_url("/issues"))
        yield running


@pytest.fixture
def opened(make_scene: MakeScene, tickets: Desk) -> Scene:
    """A scene that opens tickets and status page entries."""
    post = {
        "url": tickets.url,
        "token": TOKEN,
        "link": "issue.url",
        "body": {"title": "{severity}: {title}", "fields": [{"what": "{summary}", "key": "{key}"}], "open": True},
    }
    return make_scene(settings(ticket=post, status_page=post))


@pytest.mark.parametrize(("action", "what"), [("ticket", "ticket"), ("status_page", "status page entry")])
async def test_one_is_opened_an_incident_and_named(opened: Scene, tickets: Desk, action: str, what: str) -> None:
    await opened.take(alert(action=action, annotations={"summary": "5% fail"}))
    await opened.take(alert("HighLatency", severity="critical", action=action))
    await opened.drain()
    ((headers, body),) = tickets.taken
    assert body == {"title": "critical: 5% fail", "fields": [{"what": "5% fail", "key": KEY}], "open": True}
    assert (headers["Idempotency-Key"], headers["Authorization"]) == (KEY, f"Bearer {TOKEN}")
    assert await opened.lines(f"{action}_good") == [f"{what} opened: https://tickets.example/7"]


async def test_trouble_is_tried_again_with_the_same_key(opened: Scene, tickets: Desk) -> None:
    tickets.answers = [503, 429, 201]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    await opened.after(MINUTE)
    await opened.after(MINUTE)
    assert [headers["Idempotency-Key"] for headers, _ in tickets.taken] == [KEY] * 3
    assert len(await opened.lines("ticket_good")) == 1


async def test_what_is_refused_is_given_up_and_said_without_the_token(opened: Scene, tickets: Desk) -> None:
    tickets.answers = [422]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    (line,) = await opened.lines("ticket_failed")
    assert line.startswith("ticket failed: rejected: HTTP 422: ")
    assert TOKEN not in line
    assert TOKEN not in str(redacted(opened.desk.settings))
    assert len(tickets.taken) == 1


async def test_after_its_time_it_is_given_up(opened: Scene, tickets: Desk) -> None:
    tickets.answers = [500]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    await opened.after(2 * HOUR)
    assert (await opened.lines("ticket_failed"))[0].startswith("ticket failed: server: HTTP 500")


async def test_without_a_system_it_is_refused_by_name(scene: Scene) -> None:
    await scene.take(alert(action="ticket"))
    await scene.drain()
    assert await scene.lines("ticket_refused") == ["ticket refused (no_target): none is configured"]


async def test_template_syntax_and_control_characters_in_an_alert_are_only_data(opened: Scene, tickets: Desk) -> None:
    hostile = '{{7*7}} {token} {settings.__class__} "}, \r\n\x00\x1b[31m <script>'
    await opened.take(alert(action="ticket", annotations={"summary": hostile.replace("\0", "")}))
    await opened.drain()
    ((_, body),) = tickets.taken
    assert "{{7*7}} {token} {settings.__class__}" in body["title"]
    assert "\x1b" not in body["title"]
