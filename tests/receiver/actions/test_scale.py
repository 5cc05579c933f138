"""Scaling: each brake by name, a dry run unless told otherwise, once, and people told how it went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.actions import record, scale
from receiver.actions.scale import Go, Refusal, Refused, Situation, decide
from receiver.actions.settings.scale import Scale
from receiver.jobs import claim
from receiver.messages import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, NOON, Scene, alert, ended, settings

READY = Situation(now=NOON, service="shop", environment="production", incident_over=False)
TARGET = {"service": "shop", "replicas": 6, "command": ["scale", "{service}", "{replicas}"]}


def brakes(**more: Any) -> Scale:
    return Scale.model_validate({"mode": "auto", "targets": [TARGET], **more})


REFUSALS: dict[Refusal, tuple[dict[str, Any], str]] = {
    Refusal.INCIDENT_OVER: ({"incident_over": True}, "every alert has resolved meanwhile"),
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
    (told,) = [one for one in scene.channels["team"].messages if one.event is Event.UPDATE]
    assert line in told.body
    assert await scene.read(lambda c: record.held_by(c, "shop", "production")) == ""


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


async def test_a_refusal_is_on_the_timeline_and_told(scaling: Any) -> None:
    scene, ran = scaling(service="search")
    await scene.take(alert(action="scale"))
    await scene.drain()
    assert not ran.exists()
    text = "scale refused (no_target): no scale target is configured for shop in production"
    assert await scene.lines("scale_refused") == [text]
    assert any(text in message.body for message in scene.channels["team"].messages)


async def test_the_next_incident_waits_for_the_cooldown(scaling: Any) -> None:
    scene, ran = scaling(cooldown="1h")
    await scene.take(alert(action="scale"))
    await scene.drain()
    await scene.take(ended(alert(action="scale")))
    await scene.after(10 * MINUTE)
    await scene.take(alert(action="scale", starts=10 * MINUTE))
    await scene.drain()
    assert ran.read_text() == "shop 6\n"
    assert await scene.lines("scale_refused", 2) == ["scale refused (cooldown): cooldown until 13:00:00 UTC"]


async def test_an_option_as_service_is_not_passed_on(scaling: Any) -> None:
    scene, ran = scaling()
    await scene.take(alert(action="scale", service="--all"))
    await scene.drain()
    assert not ran.exists()
    assert "unsafe_value" in (await scene.lines("scale_refused"))[0]


async def test_a_run_that_was_interrupted_is_not_repeated(scaling: Any) -> None:
    scene, ran = scaling(then="exit 0")
    await scene.take(alert(action="scale"))
    now = scene.clock.now
    (job,) = [
        one for one in await scene.desk.store.write(lambda c: claim(c, now, "one that dies", 99)) if one.kind == "scale"
    ]
    assert await scene.desk.store.write(lambda c: scale._begin(c, scene.desk, job)) is not None
    await scene.after(MINUTE)
    assert not ran.exists()
    assert "nobody knows whether it happened" in (await scene.lines("scale_unknown"))[0]
    assert await scene.read(lambda c: record.held_by(c, "shop", "production")) == ""
