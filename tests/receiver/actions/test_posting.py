"""Tickets and status pages: one an incident, closed with it, a key for all tries, hostile text only data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from deploywatch.config import redacted
from deploywatch.receiver.lifecycle.resolution import resolve
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

TOKEN = "very-secret-token"
KEY_HEADER = "very-secret-header"
KEY = "deploywatch-1-1777636800"


@dataclass(slots=True)
class Context:
    """A ticket system: takes JSON, and answers as it is told, the last answer for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [201])
    answer: dict[str, Any] = field(default_factory=lambda: {"url": "https://tickets.example/7", "id": "7 / a?b"})
    taken: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Take a ticket."""
        self.taken.append((dict(request.headers), await request.json()))
        self.asked.append(f"{request.method} {request.raw_path}")
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response({"issue": {**self.answer, "echo": [TOKEN, KEY_HEADER]}}, status=status)


@pytest.fixture
async def tickets() -> AsyncIterator[Context]:
    """A ticket system that works."""
    running = Context()
    app = web.Application()
    app.router.add_post("/issues", running.take)
    app.router.add_route("*", "/issues/{id}", running.take)
    async with TestServer(app) as server:
        running.url = str(server.make_url("/issues"))
        yield running


@pytest.fixture
def opened(make_scene: MakeScene, tickets: Context) -> Scene:
    """A scene that opens tickets and status page entries."""
    post: dict[str, Any] = {
        "url": tickets.url,
        "token": TOKEN,
        "headers": {"X-Api-Key": KEY_HEADER},
        "link": "issue.url",
        "reference": "issue.id",
        "body": {"title": "{severity}: {title}", "fields": [{"what": "{summary}", "key": "{key}"}], "open": True},
    }
    post["resolved"] = {
        "url": f"{tickets.url}/{{reference}}",
        "method": "PATCH",
        "body": {"state": "done", "text": "{title}: over after {duration}", "of": "{reference}"},
    }
    return make_scene(settings(ticket=post, status_page=post))


@pytest.mark.parametrize(("action", "what"), [("ticket", "ticket"), ("status_page", "status page entry")])
async def test_one_is_opened_an_incident_and_named(opened: Scene, tickets: Context, action: str, what: str) -> None:
    await opened.take(alert(action=action, annotations={"summary": "5% fail"}))
    await opened.take(alert("HighLatency", severity="critical", action=action))
    await opened.drain()
    ((headers, body),) = tickets.taken
    assert body == {"title": "critical: HighLatency", "fields": [{"what": "5% fail", "key": KEY}], "open": True}
    assert (headers["Idempotency-Key"], headers["Authorization"]) == (KEY, f"Bearer {TOKEN}")
    assert await opened.lines(f"{action}_good") == [f"{what} opened: https://tickets.example/7"]


async def test_trouble_is_tried_again_with_the_same_key(opened: Scene, tickets: Context) -> None:
    tickets.answers = [503, 429, 201]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    await opened.after(MINUTE)
    await opened.after(MINUTE)
    assert [headers["Idempotency-Key"] for headers, _ in tickets.taken] == [KEY] * 3
    assert len(await opened.lines("ticket_good")) == 1


async def test_what_is_refused_is_given_up_and_said_without_the_token(opened: Scene, tickets: Context) -> None:
    tickets.answers = [422]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    (line,) = await opened.lines("ticket_failed")
    assert line.startswith("ticket failed: rejected: HTTP 422: ")
    shown = f"{line} {redacted(opened.context.settings)}"
    assert TOKEN not in shown
    assert KEY_HEADER not in shown
    assert tickets.taken[0][0]["X-Api-Key"] == KEY_HEADER
    assert len(tickets.taken) == 1


async def test_after_its_time_it_is_given_up(opened: Scene, tickets: Context) -> None:
    tickets.answers = [500]
    await opened.take(alert(action="ticket"))
    await opened.drain()
    await opened.after(2 * HOUR)
    assert (await opened.lines("ticket_failed"))[0].startswith("ticket failed: server: HTTP 500")


async def test_without_a_system_it_is_refused_by_name(scene: Scene) -> None:
    await scene.take(alert(action="ticket"))
    await scene.drain()
    assert await scene.lines("ticket_refused") == ["ticket refused (no_target): none is configured"]


async def test_template_syntax_and_control_characters_in_an_alert_are_only_data(
    opened: Scene, tickets: Context
) -> None:
    hostile = '{{7*7}} {token} {settings.__class__} "}, \r\n\x00\x1b[31m <script>'
    await opened.take(alert(action="ticket", annotations={"summary": hostile.replace("\0", "")}))
    await opened.drain()
    ((_, body),) = tickets.taken
    assert "{{7*7}} {token} {settings.__class__}" in body["title"]
    assert "\x1b" not in body["title"]


async def _over(opened: Scene, action: str = "ticket") -> None:
    """An incident that asks for the action, and is over after six minutes."""
    fired = alert(action=action)
    await opened.take(fired)
    await opened.drain()
    opened.clock.advance(MINUTE)
    await opened.take(ended(fired))
    await opened.after(5 * MINUTE)


@pytest.mark.parametrize(("action", "what"), [("ticket", "ticket"), ("status_page", "status page entry")])
async def test_it_is_closed_once_when_the_incident_is_over(
    opened: Scene, tickets: Context, action: str, what: str
) -> None:
    await _over(opened, action)
    await opened.after(HOUR)
    assert tickets.asked == ["POST /issues", "PATCH /issues/7%20%2F%20a%3Fb"]
    headers, body = tickets.taken[1]
    assert body == {"state": "done", "text": "HighErrorRate: over after 6m", "of": "7 / a?b"}
    assert (headers["Idempotency-Key"], headers["Authorization"]) == (f"{KEY}-resolved", f"Bearer {TOKEN}")
    assert await opened.lines(f"{action}_end_good") == [f"{what} closed"]


async def test_a_person_who_resolves_closes_it_too(opened: Scene, tickets: Context) -> None:
    await opened.take(alert(action="ticket"))
    await opened.drain()
    incident = await opened.incident()
    await opened.context.store.write(
        lambda c: resolve(c, opened.context.settings, incident, opened.clock.now, by="ada", why="fixed")
    )
    await opened.drain()
    assert tickets.asked[1].startswith("PATCH ")


async def test_what_was_never_opened_is_not_closed(opened: Scene, tickets: Context) -> None:
    tickets.answers = [422]
    await _over(opened)
    assert await opened.lines("ticket_end_refused") == ["ticket not closed: none was opened"]
    assert tickets.asked == ["POST /issues"]


async def test_an_incident_that_asked_for_no_ticket_closes_none(opened: Scene, tickets: Context) -> None:
    fired = alert()
    await opened.take(fired)
    await opened.take(ended(fired))
    await opened.after(HOUR)
    assert tickets.asked == []


async def test_an_opening_still_tried_is_closed_after_it(opened: Scene, tickets: Context) -> None:
    tickets.answers = [503, 503, 503, 201]
    await _over(opened)
    for _ in range(3):
        await opened.after(MINUTE)
    assert tickets.asked == ["POST /issues"] * 4 + ["PATCH /issues/7%20%2F%20a%3Fb"]


async def test_trouble_in_the_end_is_tried_again_and_then_said_without_secrets(opened: Scene, tickets: Context) -> None:
    tickets.answers = [201, 503, 422]
    await _over(opened)
    await opened.after(MINUTE)
    (line,) = await opened.lines("ticket_end_failed")
    assert line.startswith("ticket not closed: rejected: HTTP 422: ")
    assert TOKEN not in line
    assert KEY_HEADER not in line
    assert [headers["Idempotency-Key"] for headers, _ in tickets.taken[1:]] == [f"{KEY}-resolved"] * 2


async def test_without_the_reference_that_the_url_needs_nobody_is_asked(opened: Scene, tickets: Context) -> None:
    tickets.answer = {"url": "https://tickets.example/7", "id": {"a": "map"}}
    await _over(opened)
    assert await opened.lines("ticket_end_failed") == ["ticket not closed: the answer to its opening had no issue.id"]
    assert tickets.asked == ["POST /issues"]


@pytest.mark.parametrize(
    ("resolved", "reason"),
    [
        ({"url": "https://x.example/{reference}", "body": {}}, "write with `reference` where the answer has it"),
        ({"url": "https://x.example/{summary}", "body": {}}, "unknown {summary}; known: incident, key, reference"),
        ({"url": "https://x.example/", "body": {"a": "{cause}"}}, "unknown {cause}"),
        ({"url": "https://x.example/", "body": {}, "method": "DELETE"}, "'POST', 'PUT' or 'PATCH'"),
    ],
)
def test_an_end_that_cannot_be_said_is_refused(resolved: dict[str, Any], reason: str) -> None:
    post = {"url": "https://x.example/", "body": {}, "resolved": resolved}
    with pytest.raises(ValidationError) as refused:
        settings(ticket=post)
    assert reason in str(refused.value)
