"""Causes: what an incident probably comes from, what answers to it, and when that is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.incidents.alerts.alert_views import view
from deploywatch.receiver.lifecycle.flapping import quiet_needed
from deploywatch.receiver.lifecycle.probable_cause import ANSWERS, hint
from deploywatch.receiver.settings.people.causes import Cause, Causes
from deploywatch.receiver.settings.people.flapping import Damping
from deploywatch.receiver.story import AlertView, Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, ended, settings


def seen(name: str = "HighErrorRate", **labels: Any) -> AlertView:
    return view(alert(name, **labels), "high")


def deployed(ago: timedelta, **changes: Any) -> Deployment:
    began = Deployment(
        id=1,
        service="shop",
        environment="production",
        version="1.2.3",
        previous_version="1.2.2",
        strategy="",
        deployer="",
        ports=(),
        status=Status.SUCCEEDED,
        started_at=NOON - ago,
        finished_at=NOON - ago,
        rollback_of=None,
    )
    return replace(began, **changes)


RECENT, OLD = deployed(5 * MINUTE), deployed(2 * HOUR)
CPU: dict[str, Any] = {"incident_type": "resource_utilization"}
REDIS: dict[str, Any] = {"incident_type": "dependency_failure", "dependency": "redis"}


@pytest.mark.parametrize(
    ("labels", "ledger", "cause", "why"),
    [
        ({}, [], Cause.UNKNOWN, "no alert names one, and nothing was deployed shortly before"),
        ({}, [OLD], Cause.UNKNOWN, "no alert names one, and nothing was deployed shortly before"),
        ({}, [RECENT], Cause.DEPLOYMENT, "1.2.3 was deployed 5m before the first alert"),
        ({}, [RECENT, OLD], Cause.DEPLOYMENT, "1.2.3 was deployed 5m before the first alert"),
        (
            {},
            [replace(RECENT, rollback_of=7)],
            Cause.UNKNOWN,
            "no alert names one, and nothing was deployed shortly before",
        ),
        ({"incident_type": "deployment_failure"}, [], Cause.DEPLOYMENT, "HighErrorRate is about a deployment"),
        (CPU, [], Cause.RESOURCE, "HighErrorRate is about a resource, and nothing was deployed shortly before"),
        (CPU, [RECENT], Cause.DEPLOYMENT, "1.2.3 was deployed 5m before the first alert"),
        (REDIS, [RECENT], Cause.DEPENDENCY, "HighErrorRate is about redis, a dependency"),
        ({"upstream": "payments"}, [], Cause.DEPENDENCY, "HighErrorRate is about payments, a dependency"),
        ({"incident_type": "slow_disk"}, [], Cause.RESOURCE, "HighErrorRate is about a resource"),
        ({"cause": "deployment"}, [], Cause.DEPLOYMENT, "HighErrorRate is about a deployment"),
        ({"cause": "magic"}, [], Cause.UNKNOWN, "no alert names one"),
    ],
)
def test_the_cause_is_what_alerts_and_ledger_say(
    labels: Mapping[str, str], ledger: list[Deployment], cause: Cause, why: str
) -> None:
    table = Causes(types={"slow_disk": Cause.RESOURCE})
    found = hint([seen(**labels)], ledger, NOON, table)
    assert (found.cause, found.why.startswith(why)) == (cause, True)


def test_what_fires_counts_before_what_is_over() -> None:
    over = view(ended(alert("Redis", **REDIS)), "high")
    found = hint([over, seen("Payments", dependency="payments")], [], NOON, Causes())
    assert found.dependency == "payments"


def test_the_answers_are_those_of_the_source() -> None:
    assert ANSWERS == {
        Cause.RESOURCE: ("scale",),
        Cause.DEPLOYMENT: ("rollback",),
        Cause.DEPENDENCY: ("tell_owner",),
        Cause.UNKNOWN: (),
    }


@given(st.permutations([seen("A", **CPU), seen("B", **REDIS), seen("C"), seen("D", dependency="db")]))
def test_the_order_of_alerts_that_name_one_dependency_kind_changes_no_cause(alerts: list[AlertView]) -> None:
    assert hint(alerts, [RECENT, OLD], NOON, Causes()).cause is Cause.DEPENDENCY


async def test_it_is_on_the_timeline_once_and_suggests_only(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=5 * MINUTE)
    await scene.take(alert())
    await scene.drain()
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.drain()
    text = "probable cause: deployment: 1.2.3 was deployed 5m before the first alert; that suggests: rollback"
    assert await scene.lines("cause") == [text]
    found = await scene.incident()
    assert (found.cause, found.cause_why) == ("deployment", "1.2.3 was deployed 5m before the first alert")


async def test_nothing_is_done_of_itself_unless_the_config_says_so(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=5 * MINUTE)
    await scene.take(alert())
    await scene.drain()
    assert await scene.lines("rollback_refused") == []


async def test_the_end_is_told_with_the_probable_cause(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=5 * MINUTE)
    fired = alert()
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(5 * MINUTE)
    messages = scene.channels["team"].messages[-1]
    assert messages.event is Event.RESOLVED
    assert "probably deployment: 1.2.3 was deployed 5m before the first alert" in messages.body


async def test_a_rollback_for_its_cause_goes_through_the_brakes(make_scene: MakeScene) -> None:
    target = {"service": "shop", "command": ["true"], "verify": {"url": "http://127.0.0.1:9/health"}}
    scene = make_scene(settings(causes={"actions": {"deployment": ["rollback"]}}, rollback={"targets": [target]}))
    await scene.deployed("1.2.3", ago=5 * MINUTE)
    await scene.take(alert())
    await scene.drain()
    (refused,) = await scene.lines("rollback_refused")
    assert refused.startswith("rollback refused (no_previous_version)")


async def test_a_lack_of_resources_is_answered_by_scaling(make_scene: MakeScene) -> None:
    target = {"service": "shop", "replicas": 6, "command": ["true"]}
    scene = make_scene(
        settings(causes={"actions": {"resource": ["scale"]}}, scale={"mode": "auto", "targets": [target]})
    )
    await scene.take(alert("HighCpu", incident_type="resource_utilization"))
    await scene.drain()
    assert await scene.lines("scale_good") == ["scaling shop in production to 6: done after 0s: exit code 0"]
    await scene.take(alert("HighMemory", incident_type="resource_utilization"))
    await scene.drain()
    assert len(await scene.lines("scale_started")) == 1


OWNED: dict[str, Any] = {
    "causes": {"actions": {"dependency": ["tell_owner"]}, "owners": {"redis": "hosting"}},
    "oncall": {"contacts": {"hosting": {"channels": ["hosting"]}}},
    "notify": {"by_severity": {"high": ["team"]}},
}


async def test_the_owner_of_a_dependency_is_told(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "hosting", **OWNED))
    await scene.take(alert(**REDIS))
    await scene.drain()
    assert scene.channels["hosting"].events == [Event.ESCALATED]
    assert "hosting owns redis" in scene.channels["hosting"].messages[0].body


async def test_a_dependency_without_an_owner_is_said_on_the_timeline(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "hosting", **OWNED))
    await scene.take(alert(dependency="mail"))
    await scene.drain()
    assert await scene.lines("action_refused") == ["nobody is configured as the owner of mail, so nobody is told"]
    assert scene.channels["hosting"].messages == []


def test_an_owner_must_be_somebody() -> None:
    with pytest.raises(
        ValueError, match="'hostin', who owns a dependency, is nobody in oncall; did you mean 'hosting'"
    ):
        settings("team", "hosting", **{**OWNED, "causes": {"owners": {"redis": "hostin"}}})


@pytest.mark.parametrize(
    ("ago", "usual", "needed"),
    [
        ([], 5, 5),
        ([1, 2], 5, 5),
        ([1, 2, 3], 5, 30),
        ([1, 2, 61], 5, 5),
        ([1, 2, 60], 5, 30),
        ([1, 2, 3], 45, 45),
    ],
)
def test_flapping_asks_for_a_longer_quiet_time(ago: list[int], usual: int, needed: int) -> None:
    found = quiet_needed([NOON - minutes * MINUTE for minutes in ago], NOON, usual * MINUTE, Damping())
    assert found.time == needed * MINUTE
    assert bool(found.why) is (needed > usual)
