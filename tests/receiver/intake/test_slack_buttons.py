"""Buttons that people press in Slack: what is signed is done, what is not is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.fakes.slack.methods import signed
from deploywatch.receiver.intake.slack_buttons import PATH, SlackButtons
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, Scene, alert, settings

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    """A receiver with one Slack channel that has a signing secret, and an open incident."""
    slack = {"kind": "slack", "token": "xoxb-1", "channel": "#incidents", "signing_secret": SECRET}
    scene = make_scene(settings(channels={"team": slack}))
    await scene.take(alert())
    await scene.drain()
    return scene


@pytest.fixture
async def client(scene: Scene) -> AsyncIterator[Client]:
    """Talks to the endpoint."""
    app = web.Application()
    app.router.add_post(PATH, SlackButtons(scene.context, queued=lambda: None).__call__)
    async with TestClient(TestServer(app)) as found:
        yield found


async def _press(client: Client, scene: Scene, action: str, value: str, *, secret: str = SECRET) -> int:
    payload = {
        "type": "block_actions",
        "user": {"id": "U0123ANN", "username": "ann"},
        "actions": [{"action_id": action, "type": "button", "value": value}],
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    request = signed(body, secret=secret, at=scene.clock.now)
    async with client.post(PATH, data=request.body, headers=request.headers) as answer:
        return answer.status


async def test_acknowledge_is_done_by_the_name_of_the_one_who_pressed(client: Client, scene: Scene) -> None:
    assert await _press(client, scene, "acknowledge", "1") == 200
    assert (await scene.incident()).acknowledged_by == "ann (Slack U0123ANN)"


async def test_pressed_twice_it_is_done_once(client: Client, scene: Scene) -> None:
    await _press(client, scene, "acknowledge", "1")
    assert await _press(client, scene, "acknowledge", "1") == 200
    assert len(await scene.lines("acknowledged")) == 1


async def test_a_forged_press_is_refused_and_changes_nothing(client: Client, scene: Scene) -> None:
    assert await _press(client, scene, "acknowledge", "1", secret="a" * 32) == 401
    assert (await scene.incident()).acknowledged_by is None


async def test_an_old_press_is_refused(client: Client, scene: Scene) -> None:
    request = signed(b"payload=%7B%7D", secret=SECRET, at=scene.clock.now - HOUR)
    async with client.post(PATH, data=request.body, headers=request.headers) as answer:
        assert answer.status == 401


async def test_what_is_no_payload_is_said_to_be_malformed(client: Client, scene: Scene) -> None:
    request = signed(b"nothing", secret=SECRET, at=scene.clock.now)
    async with client.post(PATH, data=request.body, headers=request.headers) as answer:
        assert answer.status == 400


async def test_an_approval_that_nobody_asks_for_is_refused_on_the_timeline(client: Client, scene: Scene) -> None:
    expires = int((scene.clock.now + HOUR).timestamp())
    assert await _press(client, scene, "approve", f"1/{expires}") == 200
    assert await scene.lines("action_refused") == ["the button is of a question that nobody asks any more"]


async def test_a_press_about_no_incident_changes_nothing(client: Client, scene: Scene) -> None:
    assert await _press(client, scene, "acknowledge", "99") == 200
