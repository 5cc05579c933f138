"""Own commands: each that is meant for the service runs once an incident and severity, its values checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import Scene, alert, settings


def running(make_scene: MakeScene, ran: Path, **more: Any) -> Scene:
    """A scene with a command that notes its arguments, and one that is meant for another service."""
    command = ["sh", "-c", f'echo "$@" >> {ran}', "-", "{service}", "{severity}", "{incident}"]
    return make_scene(
        settings(run=[{"name": "flush", "command": command, **more}, {"name": "x", "command": ["x"], "service": "y"}])
    )


async def test_it_runs_once_for_each_severity(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = running(make_scene, tmp_path / "ran")
    for name, severity in (("A", "high"), ("B", "high"), ("C", "critical")):
        await scene.take(alert(name, severity=severity, action="run"))
    await scene.drain()
    assert (tmp_path / "ran").read_text().splitlines() == ["shop high 1", "shop critical 1"]
    assert await scene.lines("run_good") == ["running flush: done after 0s: exit code 0"] * 2
    assert scene.channels["team"].events.count(Event.UPDATE) == 2


async def test_none_that_fits_is_said(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = running(make_scene, tmp_path / "ran", service="search")
    await scene.take(alert(action="run"))
    await scene.drain()
    assert await scene.lines("run_refused") == [
        "run refused (no_target): no command is configured for shop in production; add one to run"
    ]


async def test_a_hostile_name_reaches_no_command(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = running(make_scene, tmp_path / "ran")
    await scene.take(alert(action="run", service="shop; id"))
    await scene.drain()
    assert not (tmp_path / "ran").exists()
    assert "unsafe_value" in (await scene.lines("run_refused"))[0]
