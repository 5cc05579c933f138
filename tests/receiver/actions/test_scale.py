"""Scaling: each brake by name, a dry run unless told otherwise, once, and people told how it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from deploywatch.receiver.actions import scale, target_lock
from deploywatch.receiver.actions.scale import ADVICE, Go, Refusal, Refused, Situation, decide
from deploywatch.receiver.jobs.claim import claim
from deploywatch.receiver.settings.actions.scale import Scale
from deploywatch.receiver.store.action_schema import action_runs
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import MINUTE, NOON, Scene, alert, ended, settings

READY = Situation(now=NOON, service="shop", environment="production", incident_over=False)
TARGET = {"service": "shop", "replicas": 6, "command": ["scale", "{service}", "{replicas}"]}


def brakes(**more: Any) -> Scale:
    return Scale.model_validate({"mode": "auto", "targets": [TARGET], **more})


REFUSALS: dict[Refusal, tuple[dict[str, Any], str]] = {
    Refusal.INCIDENT_OVER: (
        {"incident_over": True},
        "every alert has resolved meanwhile, or somebody ended the incident",
    ),
    Refusal.NO_TARGET: ({"service": "search"}, "no scale target is configured for search in production"),
    Refusal.LOCKED: ({"held_by": "a rollback"}, "shop in production is in the hands of a rollback"),
    Refusal.COOLDOWN: ({"last": NOON - MINUTE}, "cooldown until 12:14:00 UTC"),
    Refusal.CAP_OF_TARGET: (
        {"of_target": 3},
        "shop in production was scaled 3 times within an hour; at most 3 are allowed",
    ),
    Refusal.CAP_IN_ALL: ({"in_all": 10}, "services were scaled 10 times within an hour; at most 10 are allowed"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_brake_holds_with_its_reason(reason: Refusal) -> None:
    changes, sentence = REFUSALS[reason]
    assert decide(replace(READY, **changes), brakes()) == Refused(reason, sentence)


def test_every_refusal_is_in_the_table_but_the_one_that_the_values_decide() -> None:
    assert {*REFUSALS, Refusal.UNSAFE_VALUE} == set(Refusal)


def test_unless_told_otherwise_it_is_a_dry_run() -> None:
    assert decide(READY, Scale.model_validate({"targets": [TARGET]})) == Go(brakes().targets[0], dry_run=True)


@pytest.fixture
def scaling(make_scene: MakeScene, tmp_path: Path) -> Any:
    """Makes a scene in which `action: scale` runs a shell command that notes its arguments."""

    def make(**more: Any) -> tuple[Scene, Path]:
        ran = tmp_path / "ran"
        command = ["sh", "-c", f'echo "$@" >> {ran}; {more.pop("then", "true")}', "-", "{service}", "{replicas}"]
        target = {"replicas": 6, "command": command, "service": more.pop("service", "*")}
        scene = make_scene(settings(scale={"mode": "auto", "targets": [target], **more}))
        return scene, ran

    return make


async def test_a_service_is_scaled_once_and_people_are_told(scaling: Any) -> None:
    scene, ran = scaling()
    await scene.take(alert(action="scale"))
    await scene.take(alert("HighLatency", action="scale"))
    await scene.drain()
    assert ran.read_text() == "shop 6\n"
    (line,) = await scene.lines("scale_good")
    assert line == "scaling shop in production to 6: done after 0s: exit code 0"
    (told,) = [message for message in scene.channels["team"].messages if message.event is Event.UPDATE]
    assert line in told.body
    assert await scene.read(lambda c: target_lock.held_by(c, "shop", "production")) == ""


async def test_a_dry_run_is_a_line_and_no_more(scaling: Any) -> None:
    scene, ran = scaling(mode="dry-run")
    await scene.take(alert(action="scale"))
    await scene.drain()
    assert not ran.exists()
    assert (await scene.lines("scale_dry_run"))[0].startswith("dry run: scaling shop in production to 6: sh -c")


async def test_a_failure_is_told_and_escalates_at_once(scaling: Any) -> None:
    scene, _ = scaling(then="echo no quota; exit 3")
    await scene.take(alert(action="scale"))
    await scene.drain()
    text = "scaling shop in production to 6: failed after 0s: exit code 3: no quota"
    assert await scene.lines("scale_failed") == [text]
    assert any(text in line for line in await scene.lines("escalated"))


async def _began(scene: Scene, count: int, *, service: str = "shop", ago: timedelta) -> None:
    """Note that a service was scaled so often, so long ago."""
    began = scene.clock.now - ago
    row = {"action": "scale", "incident_id": 1, "service": service, "environment": "production"}
    row |= {"state": "good", "detail": "", "started_at": began, "finished_at": began}
    rows = [{**row, "key": f"earlier {number}"} for number in range(count)]
    await scene.context.store.write(lambda c: c.execute(insert(action_runs), rows))


async def _locked(scene: Scene) -> None:
    now = scene.clock.now
    await scene.context.store.write(lambda c: target_lock.take(c, "shop", "production", "somebody", now))


Arrange = Callable[[Scene], Awaitable[object]]
HELD: dict[Refusal, tuple[dict[str, Any], str, Arrange | None]] = {
    Refusal.INCIDENT_OVER: ({}, "shop", lambda scene: scene.take(ended(alert(action="scale")))),
    Refusal.NO_TARGET: ({"service": "search"}, "shop", None),
    Refusal.LOCKED: ({}, "shop", _locked),
    Refusal.COOLDOWN: ({}, "shop", lambda scene: _began(scene, 1, ago=MINUTE)),
    Refusal.CAP_OF_TARGET: ({}, "shop", lambda scene: _began(scene, 3, ago=40 * MINUTE)),
    Refusal.CAP_IN_ALL: ({}, "shop", lambda scene: _began(scene, 10, service="search", ago=MINUTE)),
    Refusal.UNSAFE_VALUE: ({}, "--all", None),
}


def test_every_refusal_is_tried_here_and_says_what_a_person_can_do() -> None:
    assert set(HELD) == set(ADVICE) == set(Refusal)


@pytest.mark.parametrize("reason", HELD)
async def test_a_refusal_reaches_timeline_api_and_message(scaling: Any, reason: Refusal) -> None:
    more, service, arrange = HELD[reason]
    scene, ran = scaling(**more)
    await scene.take(alert(action="scale", service=service))
    if arrange:
        await arrange(scene)
    await scene.drain()
    assert not ran.exists()
    (line,) = await scene.lines("scale_refused")
    assert line.startswith(f"scale refused ({reason}): ")
    assert line.endswith(f"; {ADVICE[reason]}")
    assert any(line in message.body for message in scene.channels["team"].messages)
    async with front_of(scene) as front:
        shown = (await front("GET", "/incidents/1")).data["timeline"]
    assert line in [entry["text"] for entry in shown]


async def test_in_a_window_that_opened_meanwhile_it_waits(scaling: Any) -> None:
    scene, ran = scaling()
    await scene.take(alert(action="scale"))
    window = {"service": "*", "environment": "*", "lasts": "1h", "reason": "we move", "by": "ann"}
    async with front_of(scene) as front:
        await front("POST", "/maintenance", window)
    await scene.drain()
    assert await scene.lines("action_held") == ["scale: held until 2026-05-01 13:00 UTC: we move"]
    assert not ran.exists()
    await scene.after(60 * MINUTE)
    assert ran.read_text() == "shop 6\n"


async def test_the_next_incident_waits_for_the_cooldown(scaling: Any) -> None:
    scene, ran = scaling(cooldown="1h")
    await scene.take(alert(action="scale"))
    await scene.drain()
    await scene.take(ended(alert(action="scale")))
    await scene.after(10 * MINUTE)
    await scene.take(alert(action="scale", starts=10 * MINUTE))
    await scene.drain()
    assert ran.read_text() == "shop 6\n"
    (line,) = await scene.lines("scale_refused", 2)
    assert line.startswith("scale refused (cooldown): cooldown until 13:00:00 UTC; ")


async def test_a_run_that_was_interrupted_is_not_repeated(scaling: Any) -> None:
    scene, ran = scaling(then="exit 0")
    await scene.take(alert(action="scale"))
    now = scene.clock.now
    (job,) = [
        one
        for one in await scene.context.store.write(lambda c: claim(c, now, "one that dies", 99))
        if one.kind == "scale"
    ]
    assert await scene.context.store.write(lambda c: scale._begin(c, scene.context, job)) is not None
    await scene.after(MINUTE)
    assert not ran.exists()
    assert "nobody knows whether it happened" in (await scene.lines("scale_unknown"))[0]
    assert await scene.read(lambda c: target_lock.held_by(c, "shop", "production")) == ""
