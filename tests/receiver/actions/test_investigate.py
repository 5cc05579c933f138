"""Investigating: everything known at once, kept with the incident, named on the timeline, read over the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.receiver.actions.attachments import LIMIT
from deploywatch.receiver.api import add_to
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, Scene, alert, settings


async def read(scene: Scene) -> dict[str, Any]:
    """Every attachment of the incident by its name, as the API gives it."""
    app = web.Application()
    add_to(app, scene.context, queued=lambda: None)
    found: dict[str, Any] = {}
    async with TestClient(TestServer(app)) as api:
        whole = await (await api.get("/api/v1/incidents/1/actions")).json()
        for attachment in whole["attachments"]:
            answer = await api.get(attachment["url"])
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            found[attachment["name"]] = {**attachment, "text": await answer.text(), "type": answer.content_type}
        assert (await api.get("/api/v1/attachments/999")).status == 404
        assert (await api.get("/api/v1/incidents/999/actions")).status == 404
    return found


async def test_alerts_and_deployments_are_kept_and_named(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=HOUR)
    await scene.take(alert(action="investigate"))
    await scene.drain()
    found = await read(scene)
    assert [row["name"] for row in json.loads(found["alerts"]["text"])] == ["HighErrorRate"]
    assert [row["version"] for row in json.loads(found["deployments"]["text"])] == ["1.2.3"]
    (line,) = await scene.lines("investigated")
    assert line == (
        "firing: HighErrorRate; last deployments: 1.2.3 (succeeded, began 2026-05-01 11:00:00 UTC); "
        "health: no health address is configured for this service; kept: alerts (1), deployments (2)"
    )


async def test_a_secret_of_ours_is_not_kept_with_a_log(make_scene: MakeScene) -> None:
    printed = ["sh", "-c", "echo token=xoxb-very-secret; echo postgresql://shop:p%40ss-word@db/x p@ss-word"]
    scene = make_scene(
        settings(
            investigate={"logs": [{"name": "env", "command": printed}]},
            ticket={
                "url": "https://tickets.example",
                "headers": {"Authorization": "xoxb-very-secret"},
                "body": {"title": "{title}"},
            },
            upstream={"alertmanagers": ["http://am:p%40ss-word@am:9093"]},
        )
    )
    await scene.take(alert())
    await scene.drain()
    assert (await read(scene))["env"]["text"] == "token=***\npostgresql://shop:***@db/x ***\n"


async def test_logs_are_fetched_by_commands_and_their_end_is_kept(make_scene: MakeScene, tmp_path: Path) -> None:
    logs = [
        {"name": "short", "command": ["echo", "log of {service}"]},
        {"name": "long", "command": ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo the end"]},
        {"name": "hangs", "command": ["sh", "-c", "echo begun; sleep 600"], "timeout": "1s"},
        {"name": "gone", "command": ["no-such-program"]},
        {"name": "not ours", "command": ["echo"], "service": "search"},
    ]
    scene = make_scene(settings(investigate={"logs": logs}))
    await scene.take(alert())
    await scene.drain()
    found = await read(scene)
    assert found["short"]["text"] == "log of shop\n"
    assert found["long"]["text"].endswith("xthe end\n")
    assert len(found["long"]["text"]) <= LIMIT
    assert found["hangs"]["text"] == "begun\n[the command was ended at its time limit]\n"
    assert found["gone"]["text"].startswith("cannot run no-such-program")
    assert "not ours" not in found


async def test_signals_that_give_no_answer_say_why(make_scene: MakeScene) -> None:
    signals = [{"name": "errors", "record": "x"}]
    scene = make_scene(settings(investigate={"signals": signals}, prometheus={"url": "http://u:hush@127.0.0.1:1"}))
    await scene.take(alert())
    await scene.drain()
    text = (await read(scene))["signals"]["text"]
    assert text.startswith("errors: no answer: Prometheus at http://u:***@127.0.0.1:1 did not answer")
    assert "hush" not in text


async def test_a_hostile_service_name_reaches_no_command(make_scene: MakeScene) -> None:
    scene = make_scene(settings(investigate={"logs": [{"name": "log", "command": ["echo", "{service}"]}]}))
    await scene.take(alert(service="$(id)", action="investigate"))
    await scene.drain()
    assert (await read(scene))["log"]["text"].startswith("not fetched: service '$(id)' has characters")


async def test_markup_in_an_attachment_is_only_text(make_scene: MakeScene) -> None:
    scene = make_scene(settings(investigate={"logs": [{"name": "log", "command": ["echo", "<script>x</script>"]}]}))
    await scene.take(alert())
    await scene.drain()
    assert (await read(scene))["log"]["type"] == "text/plain"
