"""Silences hold back what would be done about an incident, and let go of it; a dead Alertmanager holds nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.settings.upstream import Alertmanager
from deploywatch.receiver.suppression import gate
from deploywatch.receiver.suppression.silences import hold
from deploywatch.receiver.suppression.windows import Hold
from deploywatch.receiver.upstream.alertmanager import Silence, Silenced
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, Scene, alert, ended, settings
from tests.receiver.upstream.silencing import StandIn, stand_in

FIRED, OTHER = alert(severity="critical"), alert("HighLatency")
WHY = "held until 2026-05-01 13:00 UTC: silenced in Alertmanager by ann: the disk is swapped"


def seen(*silences: Silence, **alerts: str) -> Silenced:
    return Silenced({name: tuple(by.split()) for name, by in alerts.items()}, {one.id: one for one in silences})


SHORT, LONG = Silence("short", NOON + MINUTE, "ann", "short"), Silence("long", NOON + HOUR, "bob", "")


def test_only_an_incident_whose_every_alert_is_silenced_is_held() -> None:
    both = seen(SHORT, a="short", b="short")
    assert hold({"a", "b"}, [both], NOON) is not None
    assert hold({"a", "b", "c"}, [both], NOON) is None
    assert hold(set[str](), [both], NOON) is None
    assert hold({"a"}, [], NOON) is None


def test_an_alert_is_silenced_until_its_last_silence_ends_and_an_incident_until_its_first_alert_is_not() -> None:
    held = hold({"a", "b"}, [seen(SHORT, LONG, a="short long", b="short")], NOON)
    assert held is not None
    assert (held.until, held.tell) == (NOON + MINUTE, False)
    longer = hold({"a"}, [seen(SHORT, LONG, a="short long")], NOON)
    assert longer is not None
    assert (longer.until, longer.reason) == (NOON + HOUR, "silenced in Alertmanager by bob")


def test_what_has_ended_or_is_not_known_silences_nothing() -> None:
    assert hold({"a"}, [seen(SHORT, a="short")], NOON + MINUTE) is None
    assert hold({"a"}, [seen(a="short")], NOON) is None


def test_what_either_of_two_alertmanagers_silences_is_silenced() -> None:
    assert hold({"a"}, [seen(), seen(SHORT, a="short")], NOON) is not None


def test_a_long_comment_is_cut_and_put_into_one_line() -> None:
    wordy = Silence("x", NOON + HOUR, "", "one\n two " + "x" * 300)
    held = hold({"a"}, [seen(wordy, a="x")], NOON)
    assert held is not None
    assert held.reason == f"silenced in Alertmanager by nobody named: one two {'x' * 192}…"


@pytest.fixture
async def alertmanager() -> AsyncIterator[StandIn]:
    async with stand_in() as running:
        yield running


@dataclass(slots=True)
class Ground:
    """A receiver that asks the stand-in, and what its commands have noted."""

    make_scene: MakeScene
    alertmanager: StandIn
    noted: Path

    def scene(self, *immediate: str, **rollback: Any) -> Scene:
        """A scene in which a critical alert asks for these actions; each notes its name when it is really done."""
        target = {
            "service": "shop",
            "verify": {"url": "http://127.0.0.1:1/", "healthy_for": "0s", "within": "1s", "interval": "1s"},
        }
        return self.make_scene(
            settings(
                upstream={"alertmanagers": [self.alertmanager.url]},
                strategy={"severities": {"critical": {"immediate": ["log", *immediate]}}},
                rollback={"mode": "auto", "targets": [{**target, "command": self._note("rollback")}], **rollback},
                scale={"mode": "auto", "targets": [{"service": "shop", "replicas": 3, "command": self._note("scale")}]},
                run=[{"name": "flush", "service": "shop", "command": self._note("run")}],
                response={"deadlines": {"critical": "0s"}},
            )
        )

    def _note(self, what: str) -> list[str]:
        return [sys.executable, "-c", f"open({str(self.noted)!r}, 'a').write('{what}\\n')"]

    @property
    def done(self) -> list[str]:
        """What was really done."""
        return self.noted.read_text().split() if self.noted.exists() else []


@pytest.fixture
def ground(make_scene: MakeScene, alertmanager: StandIn, tmp_path: Path) -> Ground:
    return Ground(make_scene, alertmanager, tmp_path / "noted")


async def test_while_no_alertmanager_answers_a_silence_counts_to_its_known_end_and_none_is_invented(
    make_scene: MakeScene,
) -> None:
    scene = make_scene(settings(upstream={"alertmanagers": ["http://127.0.0.1:1"]}))
    await scene.take(alert())
    for known in (None, NOON - MINUTE):
        _, ruling = await gate.ask(scene.context, 1, asker=gate.Asker.ACTS, silenced_until=known)
        assert ruling == gate.GO
    _, ruling = await gate.ask(scene.context, 1, asker=gate.Asker.ACTS, silenced_until=NOON + HOUR)
    held = Hold(NOON + HOUR, tell=False, reason="silenced")
    assert ruling == gate.Ruling(gate.Reason.SILENCED, gate.LOOK, held)


async def _deployed(scene: Scene) -> Scene:
    await scene.deployed("1.2.2", ago=HOUR)
    await scene.deployed("1.2.3", ago=MINUTE)
    return scene


async def _taken(ground: Ground, *actions: str, until: Any = NOON + HOUR) -> Scene:
    """The alert fired and was silenced before its actions were due."""
    scene = await _deployed(ground.scene(*actions))
    await scene.take(FIRED)
    ground.alertmanager.silence(FIRED, until=until)
    await scene.drain()
    return scene


@pytest.mark.parametrize("action", ["rollback", "scale", "run"])
async def test_what_acts_is_held_until_the_silence_ends(ground: Ground, action: str) -> None:
    scene = await _taken(ground, action)
    assert await scene.lines("action_held") == [f"{action}: {WHY}"]
    await scene.after(HOUR - SECOND)
    assert ground.done == []
    await scene.after(SECOND)
    assert await scene.lines("action_released") == [f"not silenced any more: {action}"]
    assert ground.done == [action]
    await scene.after(HOUR)
    assert ground.done == [action]
    assert len(await scene.lines("action_held")) == 1


async def test_a_silence_that_is_set_during_a_rollbacks_delay_holds_it(ground: Ground) -> None:
    scene = await _deployed(ground.scene("rollback", delay="10m"))
    await scene.take(FIRED)
    await scene.after(5 * MINUTE)
    ground.alertmanager.silence(FIRED, until=NOON + HOUR)
    await scene.after(5 * MINUTE)
    assert await scene.lines("action_held") == [f"rollback: {WHY}"]
    assert ground.done == []


async def test_a_silence_that_is_expired_early_lets_go_within_a_minute(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    await scene.after(10 * MINUTE)
    assert ground.done == []
    ground.alertmanager.expire()
    await scene.after(MINUTE)
    assert ground.done == ["rollback"]


async def test_a_silence_that_is_prolonged_holds_on_without_another_line(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    ground.alertmanager.silence(FIRED, until=NOON + 2 * HOUR, by="bob")
    await scene.after(HOUR)
    assert ground.done == await scene.lines("action_released") == []
    await scene.after(HOUR)
    assert ground.done == ["rollback"]
    assert len(await scene.lines("action_held")) == 1


async def test_an_alert_that_joins_and_is_not_silenced_lets_go(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    assert ground.done == []
    await scene.take(OTHER)
    await scene.after(MINUTE)
    assert ground.done == ["rollback"]


async def test_what_is_released_passes_every_brake_again(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    await scene.deployed("1.2.4", ago=-MINUTE)
    await scene.after(HOUR)
    assert ground.done == []
    (line,) = await scene.lines("rollback_refused")
    assert line.startswith("rollback refused (newer_deployment)")


async def test_nothing_is_done_when_the_incident_is_over_by_then(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    await scene.take(ended(FIRED))
    await scene.after(HOUR)
    await scene.after(HOUR)
    assert ground.done == []
    assert await scene.lines("action_dropped") == ["rollback: not done, the incident is over"]


async def test_an_incident_that_is_silenced_in_part_is_not_held(ground: Ground) -> None:
    scene = await _deployed(ground.scene("rollback"))
    ground.alertmanager.silence(FIRED, until=NOON + HOUR)
    await scene.take(FIRED, OTHER)
    await scene.drain()
    assert ground.done == ["rollback"]
    assert await scene.lines("action_held") == []


async def test_a_dead_alertmanager_holds_nothing_and_the_log_says_so(ground: Ground) -> None:
    ground.alertmanager.away = True
    with capture_logs() as logged:
        await _taken(ground, "rollback")
    assert ground.done == ["rollback"]
    assert "nothing is held back, as no Alertmanager says whether it is silenced" in {
        entry["event"] for entry in logged
    }


async def test_a_known_silence_counts_until_its_end_when_alertmanager_dies(ground: Ground) -> None:
    scene = await _taken(ground, "rollback")
    ground.alertmanager.away = True
    await scene.after(HOUR - SECOND)
    assert ground.done == []
    await scene.after(SECOND)
    assert ground.done == ["rollback"]


async def test_one_alertmanager_that_answers_is_enough(ground: Ground) -> None:
    scene = await _deployed(ground.scene("rollback"))
    servers = tuple(Alertmanager(url=url) for url in ("http://127.0.0.1:1", ground.alertmanager.url))
    upstream = scene.context.settings.upstream.model_copy(update={"alertmanagers": servers})
    scene.context.settings = scene.context.settings.model_copy(update={"upstream": upstream})
    ground.alertmanager.silence(FIRED, until=NOON + HOUR)
    await scene.take(FIRED)
    await scene.drain()
    assert await scene.lines("action_held") == [f"rollback: {WHY}"]


async def test_what_a_person_asks_for_waits_too_and_says_so(ground: Ground) -> None:
    scene = await _taken(ground)
    async with front_of(scene) as front:
        await front("POST", "/incidents/1/rollback", {"by": "ann"})
    await scene.drain()
    assert await scene.lines("action_held") == [f"rollback: {WHY}"]
    assert ground.done == []


async def test_what_a_person_approved_waits_too(ground: Ground) -> None:
    scene = await _deployed(ground.scene("rollback", mode="approve"))
    await scene.take(FIRED)
    await scene.drain()
    ground.alertmanager.silence(FIRED, until=NOON + HOUR)
    async with front_of(scene) as front:
        await front("POST", "/incidents/1/approve", {"by": "ann"})
    await scene.drain()
    assert (await scene.lines("action_held"), ground.done) == ([f"rollback: {WHY}"], [])
    await scene.after(HOUR)
    assert ground.done == ["rollback"]


ESCALATING: dict[str, dict[str, Any]] = {
    "a step": {"response": {"deadlines": {"critical": "10m"}}},
    "what the alert asks for": {"escalation": {"steps": {"critical": []}}},
    "one that lives for too long": {
        "strategy": {"severities": {"critical": {"immediate": ["log"], "escalate_after": "10m"}}},
        "escalation": {"steps": {"critical": []}},
    },
}


def _asking() -> Alert:
    return alert(severity="critical", annotations={"escalate_after": "10m"})


@pytest.mark.parametrize("way", ESCALATING)
async def test_nobody_is_called_while_it_is_silenced(make_scene: MakeScene, alertmanager: StandIn, way: str) -> None:
    base: dict[str, Any] = {
        "upstream": {"alertmanagers": [alertmanager.url]},
        "strategy": {"severities": {"critical": {"immediate": ["log"]}}},
        "response": {"deadlines": {"critical": "0s"}, "updates": {"critical": "0s"}},
    }
    scene: Scene = make_scene(settings(**{**base, **ESCALATING[way]}))
    fired = _asking() if way == "what the alert asks for" else FIRED
    await scene.take(fired)
    await scene.drain()
    alertmanager.silence(fired, until=NOON + HOUR)
    for minutes in (10, 20, 29):
        await scene.after(minutes * MINUTE)
        assert await scene.lines("escalated") == await scene.lines("reminded") == []
    await scene.after(MINUTE)
    assert len(await scene.lines("escalated")) == 1


async def test_nobody_is_reminded_of_a_status_update_while_it_is_silenced(
    make_scene: MakeScene, alertmanager: StandIn
) -> None:
    scene: Scene = make_scene(
        settings(upstream={"alertmanagers": [alertmanager.url]}, response={"updates": {"critical": "10m"}})
    )
    await scene.take(FIRED)
    await scene.drain()
    async with front_of(scene) as front:
        await front("POST", "/incidents/1/acknowledge", {"by": "ann"})
    alertmanager.silence(FIRED, until=NOON + HOUR)
    await scene.after(HOUR - SECOND)
    assert await scene.lines("reminded") == []
    await scene.after(SECOND)
    assert len(await scene.lines("reminded")) == 1


async def test_without_alertmanagers_nobody_is_asked(make_scene: MakeScene, alertmanager: StandIn) -> None:
    scene: Scene = make_scene(settings())
    alertmanager.silence(FIRED, until=NOON + HOUR)
    await scene.take(FIRED)
    await scene.drain()
    assert alertmanager.asked == []
    assert await scene.lines("action_held") == []
