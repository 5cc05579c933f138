"""Signed links to take an incident in hand: who is meant, what a tap does, and what does not count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploywatch.receiver.lifecycle import audit
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Front, front_of
from tests.receiver.scene import MINUTE, Scene, alert, settings

SECRET = "s" * 64
ONCALL = {
    "people": {"ann": {"channels": ["ann-phone"]}, "bob": {"channels": ["team"]}},
    "teams": {"shop": {"channels": ["team"]}},
}


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    """An incident that both channels have heard of, with links."""
    more: dict[str, Any] = {"rollback": {"approval": {"secret": SECRET}}, "external_url": "https://ops.example/dw/"}
    made = make_scene(settings("team", "ann-phone", oncall=ONCALL, **more))
    await made.take(alert())
    await made.drain()
    return made


def _link(scene: Scene, channel: str) -> str:
    """The path below the prefix, with its query."""
    url = dict(scene.channels[channel].messages[0].links)["I have it"]
    assert url.startswith("https://ops.example/dw/api/v1/taken?")
    return url.removeprefix("https://ops.example/dw")


async def _ask(front: Front, method: str, path: str, **fields: str) -> tuple[int, str]:
    async with front.http.request(method, path, data=fields or None) as answer:
        return answer.status, await answer.text()


async def test_a_personal_channels_link_names_its_person_and_a_teams_asks(scene: Scene) -> None:
    who = [parse_qs(urlsplit(_link(scene, channel)).query).get("who", [""]) for channel in ("ann-phone", "team")]
    assert who == [["ann"], [""]]


async def test_looking_changes_nothing_and_a_tap_takes_it_once(scene: Scene) -> None:
    async with front_of(scene) as front:
        mine, shared = _link(scene, "ann-phone"), _link(scene, "team")
        status, text = await _ask(front, "GET", mine)
        assert (status, "You are ann." in text) == (200, True)
        assert await scene.read(lambda c: audit.entries(c, limit=9)) == []
        assert (await _ask(front, "POST", mine))[0] == 200
        assert (await scene.incident()).acknowledged_by == "ann (signed link)"
        (row,) = await scene.read(lambda c: audit.entries(c, limit=9))
        assert (row["who"], row["verified"], row["incident_id"]) == ("ann (signed link)", False, 1)
        status, text = await _ask(front, "POST", shared, by="bob")
        assert (status, "ann (signed link) has it" in text) == (200, True)
        assert len(await scene.read(lambda c: audit.entries(c, limit=9))) == 1


async def test_a_shared_channels_link_asks_for_a_name(scene: Scene) -> None:
    async with front_of(scene) as front:
        shared = _link(scene, "team")
        assert "Your name" in (await _ask(front, "GET", shared))[1]
        assert "your name is missing" in (await _ask(front, "POST", shared))[1]
        await _ask(front, "POST", shared, by="bob")
        assert (await scene.incident()).acknowledged_by == "bob (signed link)"


@pytest.mark.parametrize(
    "change", ["incident=1|incident=2", "who=ann|who=eve", "signature=|signature=0", "expires=|expires=9"]
)
async def test_a_link_that_was_changed_does_not_count(scene: Scene, change: str) -> None:
    old, new = change.split("|")
    forged = _link(scene, "ann-phone").replace(old, new)
    async with front_of(scene) as front:
        for method in ("GET", "POST"):
            assert (await _ask(front, method, forged))[0] == 403
    assert (await scene.incident()).acknowledged_by is None


async def test_a_link_is_good_for_a_day(scene: Scene) -> None:
    mine = _link(scene, "ann-phone")
    scene.clock.advance(timedelta(days=1) - MINUTE)
    async with front_of(scene) as front:
        assert (await _ask(front, "GET", mine))[0] == 200
        scene.clock.advance(MINUTE)
        status, text = await _ask(front, "POST", mine)
    assert (status, "this link was good until" in text) == (403, True)


async def test_what_is_in_hand_already_bears_no_link(scene: Scene) -> None:
    async with front_of(scene) as front:
        await _ask(front, "POST", _link(scene, "ann-phone"))
    await scene.drain()
    later = scene.channels["team"].messages[1:]
    assert later
    assert not any("I have it" in dict(message.links) for message in later if message.incident.acknowledged_at)
