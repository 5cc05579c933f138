"""Deadlines, escalation steps, status updates and reviews: when people are reminded, by moving the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploywatch.receiver.escalation import timers
from deploywatch.receiver.escalation.policy import Verdict, judge
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.settings.people.response import DEADLINES, UPDATES, Response
from deploywatch.receiver.settings.strategy import STRATEGIES, Severity
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, Scene, alert, ended, settings

QUIETLY = {"deadlines": {"critical": "0s", "high": "0s"}}
ONCALL: dict[str, Any] = {
    "people": {"ann": {"channels": ["ann"]}, "bob": {"channels": ["bob"]}, "eve": {"channels": ["boss"]}},
    "rotations": {"first": {"people": ["ann"]}, "second": {"people": ["bob"]}},
    "teams": {"shop": {"primary": "first", "secondary": "second", "lead": "bob"}},
    "management": ["eve"],
}


def staffed(**more: Any) -> Any:
    """A team that is told of incidents, and people who are called."""
    notify = {"by_severity": {severity: ["team"] for severity in STRATEGIES}}
    return settings("team", "ann", "bob", "boss", **{"oncall": ONCALL, "notify": notify, **more})


async def acknowledge(scene: Scene, by: str = "ann") -> None:
    """Somebody takes it in hand now."""
    known = replace(await scene.incident(), acknowledged_at=scene.clock.now, acknowledged_by=by, commander=by)

    def write(connection: Any) -> None:
        store.save(connection, known)
        timers.updates(connection, scene.context.settings, known, scene.clock.now)

    await scene.context.store.write(write)


# B10: SEV-1 to SEV-3; P6: P1 to P3; P8: L4 to L1, in minutes.
SOURCES = {"sev": (15, 30, 120, 1440), "priority": (15, 60, 240, 1440), "levels": (15, 60, 240, 1440)}


@pytest.mark.parametrize("standard", DEADLINES)
def test_deadlines_are_those_of_the_source(standard: str) -> None:
    response = Response.model_validate({"standard": standard})
    minutes = tuple((response.deadline(severity) or timedelta()) / MINUTE for severity in STRATEGIES)
    assert minutes == SOURCES[standard]


def test_updates_are_those_of_the_runbook() -> None:
    assert {severity: every / MINUTE for severity, every in UPDATES.items()} == {"critical": 15, "high": 30}


def test_a_deadline_can_be_changed_and_turned_off() -> None:
    response = Response.model_validate({"deadlines": {"critical": "5m", "high": "0s"}})
    found = (response.deadline("critical"), response.deadline("high"), response.deadline("medium"))
    assert found == (5 * MINUTE, None, 2 * HOUR)


INCIDENT = Incident(1, "shop", "production", "high", "", "", (), NOON)


@pytest.mark.parametrize(
    ("incident", "verdict"),
    [
        (INCIDENT, Verdict.DUE),
        (replace(INCIDENT, mitigation=True), Verdict.DUE),
        (replace(INCIDENT, acknowledged_at=NOON), Verdict.ACKNOWLEDGED),
        (replace(INCIDENT, quiet_since=NOON), Verdict.QUIET),
        (replace(INCIDENT, resolved_at=NOON), Verdict.OVER),
        (replace(INCIDENT, acknowledged_at=NOON, resolved_at=NOON), Verdict.OVER),
        (replace(INCIDENT, severity="critical"), Verdict.SUPERSEDED),
        (replace(INCIDENT, severity="low"), Verdict.SUPERSEDED),
    ],
)
def test_whether_a_deadline_counts_is_a_pure_decision(incident: Incident, verdict: Verdict) -> None:
    assert judge(incident, "high") is verdict


@pytest.mark.parametrize(("severity", "minutes"), [("critical", 15), ("high", 30), ("medium", 120)])
async def test_who_heard_and_who_is_on_call_are_reminded_when_the_deadline_passes(
    make_scene: MakeScene, severity: Severity, minutes: int
) -> None:
    strategy = {"severities": {severity: {"immediate": ["notify"]}}}
    scene = make_scene(staffed(strategy=strategy, escalation={"steps": {severity: []}}))
    await scene.take(alert(severity=severity))
    await scene.drain()
    await scene.after(minutes * MINUTE - SECOND)
    assert await scene.lines("reminded") == []
    await scene.after(SECOND)
    (line,) = await scene.lines("reminded")
    assert line.startswith("reminded team, ann: nobody acknowledged it within ")
    assert scene.channels["ann"].events == [Event.REMINDER]
    await scene.after(24 * HOUR)
    assert len(await scene.lines("reminded")) == 1


async def test_a_reminder_is_not_sent_once_somebody_has_it(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(response={"updates": {"high": "0s"}}))
    await scene.take(alert())
    await scene.drain()
    await acknowledge(scene)
    await scene.after(HOUR)
    assert await scene.lines("reminded") == await scene.lines("escalated") == []


async def test_a_reminder_is_not_sent_of_what_is_over(make_scene: MakeScene) -> None:
    scene = make_scene(staffed())
    fired = alert()
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(10 * MINUTE)
    await scene.after(HOUR)
    assert await scene.lines("reminded") == await scene.lines("escalated") == []


async def test_what_was_quiet_at_its_deadline_is_reminded_of_when_it_fires_again(make_scene: MakeScene) -> None:
    scene = make_scene(staffed())
    fired = alert()
    await scene.take(fired)
    await scene.after(29 * MINUTE)
    await scene.take(ended(fired))
    await scene.after(2 * MINUTE)
    assert await scene.lines("reminded") == []
    await scene.take(alert(starts=31 * MINUTE))
    await scene.after(5 * MINUTE)
    assert len(await scene.lines("reminded")) == 1


async def test_one_that_becomes_worse_has_the_deadline_of_its_new_severity(make_scene: MakeScene) -> None:
    scene = make_scene(staffed())
    await scene.take(alert())
    await scene.after(20 * MINUTE)
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.after(14 * MINUTE)
    assert await scene.lines("reminded") == []
    await scene.after(MINUTE)
    (line,) = await scene.lines("reminded")
    assert "within 15m" in line


STEPS = {
    "steps": {
        "high": [
            {"after": "5m", "who": ["primary"]},
            {"after": "10m", "who": ["secondary"]},
            {"after": "15m", "who": ["management"], "channels": ["team"]},
        ]
    }
}


async def test_escalation_goes_from_step_to_step_while_nobody_acknowledges(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(escalation=STEPS))
    await scene.take(alert())
    await scene.drain()
    for _ in range(3):
        await scene.after(5 * MINUTE)
    assert [line.partition(":")[0] for line in await scene.lines("escalated")] == [
        "escalated to ann",
        "escalated to bob",
        "escalated to boss, team",
    ]
    assert "nobody acknowledged it within 10m; bob called" in (await scene.lines("escalated"))[1]
    await scene.after(24 * HOUR)
    assert len(await scene.lines("escalated")) == 3


async def test_escalation_stops_when_somebody_acknowledges(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(escalation=STEPS))
    await scene.take(alert())
    await scene.after(5 * MINUTE)
    await acknowledge(scene)
    await scene.after(HOUR)
    assert len(await scene.lines("escalated")) == 1


async def test_escalation_goes_on_in_another_process_after_a_restart(make_scene: MakeScene) -> None:
    before = make_scene(staffed(escalation=STEPS), owner="before")
    await before.take(alert())
    await before.after(5 * MINUTE)
    after = make_scene(staffed(escalation=STEPS), owner="after")
    await after.after(5 * MINUTE)
    await before.drain()
    assert after.channels["bob"].events == [Event.ESCALATED]
    assert before.channels["bob"].events == []
    assert len(await after.lines("escalated")) == 2


async def test_steps_that_passed_while_the_receiver_was_down_are_taken_once_it_is_back(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(escalation=STEPS))
    await scene.take(alert())
    await scene.drain()
    await scene.after(5 * HOUR)
    assert len(await scene.lines("escalated")) == 3


async def test_by_default_those_are_called_whom_the_sources_name(make_scene: MakeScene) -> None:
    scene = make_scene(staffed())
    await scene.take(alert())
    await scene.after(30 * MINUTE)
    (line,) = await scene.lines("escalated")
    assert line.startswith("escalated to ann, bob: nobody acknowledged it within 30m; ann, bob called")


async def test_the_default_step_does_not_repeat_what_was_escalated_before(scene: Scene) -> None:
    await scene.take(alert(annotations={"escalate_after": "2m"}))
    await scene.after(2 * MINUTE)
    await scene.after(HOUR)
    assert len(await scene.lines("escalated")) == 1


async def test_with_nobody_on_call_a_low_incident_disturbs_nobody(scene: Scene) -> None:
    await scene.take(alert(severity="low"))
    await scene.drain()
    await scene.after(24 * HOUR)
    assert scene.channels["team"].messages == []
    assert await scene.lines("reminded") == [
        "reminded nobody: no channel has heard of it, and nobody is on call: nobody acknowledged it within 1d"
    ]


async def test_status_updates_are_reminded_of_until_the_incident_is_resolved(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(response=QUIETLY))
    fired = alert()
    await scene.take(fired)
    await scene.after(10 * MINUTE)
    await acknowledge(scene)
    await scene.after(30 * MINUTE)
    await scene.after(5 * MINUTE)
    await scene.after(30 * MINUTE)
    assert await scene.lines("reminded") == [
        "reminded ann: a status update was due at 12:40 UTC",
        "reminded team, ann: a status update was due at 12:40 UTC",
        "reminded team, ann: a status update was due at 12:40 UTC",
    ]
    await scene.take(ended(fired))
    await scene.after(5 * MINUTE)
    await scene.after(2 * HOUR)
    assert len(await scene.lines("reminded")) == 3


async def test_an_update_puts_the_next_reminder_off(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(response=QUIETLY))
    await scene.take(alert())
    await scene.drain()
    await acknowledge(scene)
    await scene.after(20 * MINUTE)
    await scene.context.store.write(
        lambda c: timeline.write(c, 1, scene.clock.now, Kind.UPDATE, "we look at the cache")
    )
    await scene.after(10 * MINUTE)
    assert await scene.lines("reminded") == []
    await scene.after(20 * MINUTE)
    assert await scene.lines("reminded") == ["reminded ann: a status update was due at 12:50 UTC"]


@pytest.mark.parametrize(("severity", "reminded"), [("critical", 1), ("high", 1), ("medium", 0)])
async def test_a_review_that_is_required_is_reminded_of_after_24_hours(
    make_scene: MakeScene, severity: Severity, reminded: int
) -> None:
    scene = make_scene(staffed())
    fired = alert(severity=severity)
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(5 * MINUTE)
    await scene.after(24 * HOUR - SECOND)
    assert await scene.lines("reminded") == []
    await scene.after(SECOND)
    lines = await scene.lines("reminded")
    assert len(lines) == reminded
    assert all("required within 1d, and not marked as done" in line for line in lines)


async def test_a_review_that_is_done_is_not_reminded_of(make_scene: MakeScene) -> None:
    scene = make_scene(staffed())
    fired = alert()
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(5 * MINUTE)
    done = replace(await scene.incident(), reviewed_at=scene.clock.now, reviewed_by="ann")
    await scene.context.store.write(lambda c: store.save(c, done))
    await scene.after(25 * HOUR)
    assert await scene.lines("reminded") == []


async def test_messages_say_where_people_meet_and_the_probable_cause(make_scene: MakeScene) -> None:
    scene = make_scene(staffed(response={"bridge": "https://meet.example/{id}"}))
    await scene.deployed("1.2.3", ago=MINUTE)
    await scene.take(alert())
    await scene.after(30 * MINUTE)
    told = next(message for message in scene.channels["ann"].messages if message.event is Event.REMINDER)
    assert ("Bridge", "https://meet.example/1") in told.links
    assert "probable cause: deployment (1.2.3 was deployed 1m before the first alert)" in told.body
