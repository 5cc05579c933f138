"""Source 004, W7: roll back at critical, scale at high, watch at medium; what lives longer than 5 minutes escalates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deploywatch.receiver.settings.config import load
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

PAGE = Path(__file__).parents[3] / "docs" / "actions" / "scale.md"


@pytest.fixture
def scene_of_004(make_scene: MakeScene, tmp_path: Path) -> Scene:
    """A scene with the strategies as the page writes them."""
    example = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[-1]
    (tmp_path / "receiver.yml").write_text(example)
    target = {"service": "search", "command": ["true"], "verify": {"url": "http://127.0.0.1:9/health"}}
    scene = make_scene(settings(rollback={"targets": [target]}))
    strategy = load(tmp_path / "receiver.yml").strategy
    scene.context.settings = scene.context.settings.model_copy(update={"strategy": strategy})
    return scene


@pytest.mark.parametrize(
    ("severity", "line"),
    [("critical", "rollback_refused"), ("high", "scale_refused"), ("medium", "logged")],
)
async def test_each_severity_does_its_own_and_alerts_at_once(scene_of_004: Scene, severity: str, line: str) -> None:
    await scene_of_004.take(alert(severity=severity))
    await scene_of_004.drain()
    assert len(await scene_of_004.lines(line)) == 1
    assert Event.OPENED in scene_of_004.channels["team"].events


async def test_what_lives_longer_than_five_minutes_escalates_acknowledged_or_not(scene_of_004: Scene) -> None:
    await scene_of_004.take(alert(severity="high"))
    await scene_of_004.after(5 * MINUTE - MINUTE / 60)
    assert not await _outlived(scene_of_004)
    await scene_of_004.after(MINUTE / 60)
    assert await _outlived(scene_of_004) == ["escalated to team: it has lived longer than 5m"]
    await scene_of_004.after(HOUR)
    assert len(await _outlived(scene_of_004)) == 1


async def test_what_is_over_in_time_does_not(scene_of_004: Scene) -> None:
    await scene_of_004.take(alert(severity="high"))
    await scene_of_004.take(ended(alert(severity="high")))
    await scene_of_004.after(HOUR)
    await scene_of_004.after(HOUR)
    assert not await _outlived(scene_of_004)


async def test_unless_told_so_nothing_escalates_for_its_age(scene: Scene) -> None:
    await scene.take(alert(severity="high"))
    await scene.after(10 * HOUR)
    assert not await _outlived(scene)


async def _outlived(scene: Scene) -> list[str]:
    lines: list[Any] = await scene.lines("escalated")
    return [line for line in lines if "lived longer" in line]
