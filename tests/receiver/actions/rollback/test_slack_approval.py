"""A person's word by a button in Slack: it decides the question that the button was sent with."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.fakes.slack.methods import signed
from deploywatch.receiver.intake.slack_buttons import PATH, SlackButtons
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import MINUTE, Scene

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ANN = {"id": "U0123ANN", "username": "ann"}
SLACK = {"kind": "slack", "token": "xoxb-1", "channel": "#incidents", "signing_secret": SECRET}


async def _asking(ground: Ground) -> Scene:
    scene = await ground.scene(mode="approve", approval={"within": "15m"}, beside={"channels": {"team": SLACK}})
    await scene.take(critical())
    await scene.drain()
    return scene


async def _press(scene: Scene, action: str, value: str, *, user: dict[str, Any] = ANN) -> int:
    app = web.Application()
    app.router.add_post(PATH, SlackButtons(scene.context, queued=lambda: None).__call__)
    payload = {"type": "block_actions", "user": user, "actions": [{"action_id": action, "value": value}]}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    request = signed(body, secret=SECRET, at=scene.clock.now)
    async with TestClient(TestServer(app)) as client, client.post(PATH, data=body, headers=request.headers) as answer:
        return answer.status


def _value(scene: Scene) -> str:
    (message,) = (message for message in scene.channels["team"].messages if message.event is Event.APPROVAL_WANTED)
    assert message.expires is not None
    return f"1/{int(message.expires.timestamp())}"


async def test_approve_rolls_back_and_says_whose_word_it_was(ground: Ground) -> None:
    scene = await _asking(ground)
    assert await _press(scene, "approve", _value(scene)) == 200
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert await scene.lines("rollback_approved") == ["approved the rollback to 1.2.2"]


async def test_reject_rolls_nothing_back(ground: Ground) -> None:
    scene = await _asking(ground)
    assert await _press(scene, "reject", _value(scene)) == 200
    await scene.after(20 * MINUTE)
    assert ground.ran == []
    assert await scene.lines("rollback_rejected") == ["rejected the rollback to 1.2.2"]


async def test_a_button_of_another_question_decides_nothing(ground: Ground) -> None:
    scene = await _asking(ground)
    assert await _press(scene, "approve", "1/1777777777") == 200
    await scene.drain()
    assert ground.ran == []
    assert await scene.lines("action_refused") == ["the button is of a question that nobody asks any more"]
