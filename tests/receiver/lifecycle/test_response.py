"""What people do to an incident over HTTP: lead it, say how it stands, tick its checklist, review it; and the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import insert

from deploywatch.receiver.store.action_schema import action_runs, rollbacks
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Front, front_of
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, ended, settings

ANN = {"by": "ann"}


@pytest.fixture
async def front(make_scene: MakeScene) -> AsyncIterator[Front]:
    """One open incident, of which people have heard."""
    async with front_of(make_scene(settings(response={"bridge": "https://meet.example/{id}"}))) as served:
        await served.scene.take(alert())
        await served.scene.drain()
        yield served


async def status_of(front: Front) -> str:
    return str((await front("GET", "/incidents/1")).data["status"])


async def test_who_acknowledges_leads_and_people_learn_when_they_hear_again(front: Front) -> None:
    answer = (await front("POST", "/incidents/1/acknowledge", ANN)).data
    await front.scene.drain()
    assert (answer["commander"], answer["bridge"]) == ("ann", "https://meet.example/1")
    assert await front.scene.lines("commander") == ["ann leads the incident; bridge: https://meet.example/1"]
    assert "Next update: by" in front.scene.channels["team"].messages[-1].body


async def test_another_can_take_the_lead_once(front: Front) -> None:
    await front("POST", "/incidents/1/acknowledge", ANN)
    await front("POST", "/incidents/1/commander", {**ANN, "leader": "bob"})
    again = await front("POST", "/incidents/1/commander", {"by": "bob"})
    assert (again.data["commander"], again.data["acknowledged_by"]) == ("bob", "ann")
    assert len(await front.scene.lines("commander")) == 2


async def test_acknowledging_stops_deadline_and_escalation(front: Front) -> None:
    await front("POST", "/incidents/1/acknowledge", ANN)
    await front.scene.after(29 * MINUTE)
    await front("POST", "/incidents/1/update", {**ANN, "note": "looking"})
    await front.scene.after(25 * MINUTE)
    assert await front.scene.lines("reminded") == await front.scene.lines("escalated") == []


async def test_an_update_is_told_to_those_who_heard_with_the_time_of_the_next(front: Front) -> None:
    await front("POST", "/incidents/1/update", {**ANN, "note": "half of it is back", "next_in": "10m"})
    await front.scene.drain()
    messages = front.scene.channels["team"].messages[-1]
    assert messages.event is Event.UPDATE
    assert "half of it is back" in messages.body
    assert "12:10" in messages.body
    assert await front.scene.lines("update") == ["half of it is back"]


async def test_a_person_says_that_it_is_being_mitigated(front: Front) -> None:
    await front("POST", "/incidents/1/mitigate", {**ANN, "note": "we restart the cache"})
    await front("POST", "/incidents/1/mitigate", ANN)
    assert await status_of(front) == "mitigating"
    await front("POST", "/incidents/1/mitigate", {**ANN, "over": True})
    assert await status_of(front) == "open"
    lines = ["mitigation is under way: we restart the cache", "mitigation is over"]
    assert await front.scene.lines("mitigating") == lines


@pytest.mark.parametrize(
    ("state", "status"), [("running", "mitigating"), ("verifying", "mitigating"), ("verified", "open")]
)
async def test_it_is_mitigating_while_a_rollback_is_under_way(front: Front, state: str, status: str) -> None:
    deployment = await front.scene.deployed("1.2.3", ago=MINUTE)
    row = {
        "deployment_id": deployment.id,
        "incident_id": 1,
        "service": "shop",
        "environment": "production",
        "from_version": "1.2.3",
        "to_version": "1.2.2",
        "state": state,
        "detail": "",
        "started_at": NOON,
    }
    await front.scene.context.store.write(lambda c: c.execute(insert(rollbacks), [row]))
    assert await status_of(front) == status


@pytest.mark.parametrize(("state", "status"), [("running", "mitigating"), ("done", "open")])
async def test_it_is_mitigating_while_another_action_runs(front: Front, state: str, status: str) -> None:
    row = {
        "action": "scale",
        "incident_id": 1,
        "service": "shop",
        "environment": "production",
        "key": "scale:1",
        "state": state,
        "detail": "",
        "started_at": NOON,
    }
    await front.scene.context.store.write(lambda c: c.execute(insert(action_runs), [row]))
    assert await status_of(front) == status


async def test_an_incident_goes_through_its_states(front: Front) -> None:
    seen = [await status_of(front)]
    await front("POST", "/incidents/1/acknowledge", ANN)
    seen.append(await status_of(front))
    await front("POST", "/incidents/1/mitigate", ANN)
    seen.append(await status_of(front))
    await front.scene.take(ended(alert()))
    seen.append(await status_of(front))
    await front.scene.after(5 * MINUTE)
    seen.append(await status_of(front))
    assert seen == ["open", "acknowledged", "mitigating", "monitoring", "resolved"]


async def test_the_checklist_is_that_of_the_severity_and_is_ticked_once(front: Front) -> None:
    first = (await front("POST", "/incidents/1/check", {**ANN, "item": 3})).data
    again = (await front("POST", "/incidents/1/check", {"by": "bob", "item": 3})).data
    assert first == again == {"item": 3, "text": "Fix the issue", "done_at": NOON.isoformat(), "done_by": "ann"}
    shown = (await front("GET", "/incidents/1")).data["checklist"]
    assert [item["text"] for item in shown["monitoring"]] == ["Watch the service closely", "Check the performance"]
    assert [item["done_by"] for item in shown["resolution"]] == ["ann", None, None]
    assert await front.scene.lines("checked") == ["Fix the issue: done"]


async def test_an_item_can_be_unticked(front: Front) -> None:
    await front("POST", "/incidents/1/check", {**ANN, "item": 1})
    answer = await front("POST", "/incidents/1/check", {**ANN, "item": 1, "done": False})
    assert answer.data["done_at"] is None
    assert await front.scene.lines("checked") == [
        "Watch the service closely: done",
        "Watch the service closely: not done after all",
    ]


async def test_a_worse_severity_adds_its_items_and_keeps_what_is_ticked(front: Front) -> None:
    await front("POST", "/incidents/1/check", {**ANN, "item": 3})
    await front.scene.take(alert("ServiceDown", severity="critical"))
    await front.scene.drain()
    shown = (await front("GET", "/incidents/1")).data["checklist"]
    resolution = {item["text"]: item["done_by"] for item in shown["resolution"]}
    assert resolution == {
        "Fix the issue": "ann",
        "Deploy the fix": None,
        "Verify the resolution": None,
        "Fix the root cause": None,
    }
    numbers = [item["item"] for phase in shown.values() for item in phase]
    assert len(numbers) == len(set(numbers))


async def test_an_item_that_does_not_exist_is_404(front: Front) -> None:
    answer = await front("POST", "/incidents/1/check", {**ANN, "item": 99})
    assert (answer.status, answer.data) == (404, "there is no item 99 of an incident 1\n")


async def test_a_review_is_noted_once_and_only_when_the_incident_is_over(front: Front) -> None:
    early = await front("POST", "/incidents/1/review", ANN)
    await front("POST", "/incidents/1/resolve", {**ANN, "force": True})
    done = await front("POST", "/incidents/1/review", {**ANN, "note": "see the wiki"})
    again = await front("POST", "/incidents/1/review", {"by": "bob"})
    assert early.data["reviewed_at"] is None
    assert (done.data["review_required"], done.data["reviewed_by"], again.data["reviewed_by"]) == (True, "ann", "ann")
    await front.scene.after(25 * HOUR)
    assert await front.scene.lines("reminded") == []


async def test_incidents_are_narrowed_by_severity_and_service(front: Front) -> None:
    await front.scene.take(alert(service="search", severity="critical"), alert(service="mail", severity="low"))
    data = (await front("GET", "/incidents?severity=critical,low")).data
    assert [row["service"] for row in data] == ["mail", "search"]
    assert [row["id"] for row in (await front("GET", "/incidents?service=shop")).data] == [1]


async def test_every_change_is_in_the_audit_with_who_and_from_where(front: Front) -> None:
    await front("POST", "/incidents/1/acknowledge", {**ANN, "note": "on my way"})
    await front("POST", "/deployments", {"service": "shop", "environment": "production", "version": "2"})
    await front("PATCH", "/deployments/1", {"status": "success"})
    await front("POST", "/maintenance", {**ANN, "service": "shop", "lasts": "1h"})
    rows = (await front("GET", "/audit")).data
    assert [(row["what"], row["who"], row["incident_id"]) for row in rows] == [
        ("maintenance.add", "ann", None),
        ("deployments.change", "somebody", None),
        ("deployments.add", "somebody", None),
        ("incidents.acknowledge", "ann", 1),
    ]
    assert rows[3] | {"id": 0} == {
        "id": 0,
        "at": NOON.isoformat(),
        "who": "ann",
        "verified": False,
        "what": "incidents.acknowledge",
        "incident_id": 1,
        "path": "/api/v1/incidents/1/acknowledge",
        "detail": {"by": "ann", "note": "on my way"},
        "remote": "127.0.0.1",
    }


async def test_whom_the_server_checked_is_who_the_audit_names(scene: Scene) -> None:
    async with front_of(scene, user="carol") as front:
        await scene.take(alert())
        await front("POST", "/incidents/1/comment", {**ANN, "note": "x"})
        (row,) = (await front("GET", "/audit?who=carol&incident=1")).data
    assert (row["who"], row["verified"], row["detail"]["by"]) == ("carol", True, "carol for ann")


async def test_what_was_refused_or_not_there_is_not_in_the_audit(front: Front) -> None:
    await front("POST", "/incidents/9/acknowledge", ANN)
    await front("POST", "/incidents/1/acknowledge", {})
    await front("POST", "/incidents/1/check", {**ANN, "item": 99})
    await front("GET", "/incidents/1")
    assert (await front("GET", "/audit")).data == []


async def test_the_audit_refuses_what_is_no_number(front: Front) -> None:
    assert (await front("GET", "/audit?incident=first")).status == 400


async def test_who_is_on_call_is_told_for_a_time(make_scene: MakeScene) -> None:
    oncall = {
        "people": {"ann": {"channels": ["team"]}, "bob": {}},
        "rotations": {"first": {"people": ["ann", "bob"], "starts": "2026-04-27", "handoff": {"at": "09:00"}}},
        "teams": {"shop": {"primary": "first", "lead": "bob"}},
        "management": ["bob"],
        "contacts": {"provider": {"about": "call +49 30 1"}},
    }
    async with front_of(make_scene(settings(oncall=oncall))) as front:
        now = (await front("GET", "/oncall")).data
        later = (await front("GET", "/oncall?at=2026-05-04T11:00:00+02:00")).data
        odd = await front("GET", "/oncall?at=0001-01-01T00:00:00Z")
    assert now["on_call"] == [
        {
            "team": "shop",
            "role": "primary",
            "rotation": "first",
            "person": "ann",
            "channels": ["team"],
            "since": "2026-04-27T09:00:00+00:00",
            "until": "2026-05-04T09:00:00+00:00",
            "stands_in": False,
        }
    ]
    assert (now["at"], now["leads"], now["management"]) == (NOON.isoformat(), {"shop": "bob"}, ["bob"])
    assert now["contacts"] == {"provider": "call +49 30 1"}
    assert later["on_call"][0]["person"] == "bob"
    assert odd.status == 400


async def test_an_incident_that_keeps_coming_back_must_be_quiet_for_longer(make_scene: MakeScene) -> None:
    damping = {"reopenings": 2, "window": "1h", "quiet_time": "20m"}
    scene = make_scene(settings(damping=damping))
    passed = timedelta()
    for _ in range(2):
        await scene.take(alert(starts=passed))
        await scene.take(ended(alert(starts=passed)))
        passed += MINUTE
        await scene.after(MINUTE)
    await scene.take(alert(starts=passed))
    await scene.take(ended(alert(starts=passed)))
    await scene.after(5 * MINUTE)
    why = "it came back 2 times within 1h, so it must be quiet for 20m; it resolves at 12:22:00 UTC if it stays so"
    assert await scene.lines("damped") == [why]
    await scene.after(14 * MINUTE)
    assert (await scene.incident()).status == "monitoring"
    await scene.after(MINUTE)
    assert await scene.lines("resolved") == ["resolved: all alerts quiet for 20m"]
