"""What people read: which alert, where exactly, since when, what happened, what to do; from the alert as it comes."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from deploywatch.receiver.lifecycle import resolution, response
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

QUERY = "http://prometheus.example:9090/graph?g0.expr=disk"
DISK = msgspec.structs.replace(
    alert("DiskFull", starts=-timedelta(minutes=30), instance="10.0.0.9:9100", device="sda1", prometheus="p/k8s"),
    generator_url=QUERY,
)


async def test_an_alert_without_a_summary_says_its_name_instance_and_query(scene: Scene) -> None:
    await scene.take(DISK)
    await scene.drain()
    (message,) = scene.channels["team"].messages
    assert "Alert: DiskFull, instance=10.0.0.9:9100, device=sda1\n" in message.body
    assert ("Prometheus", QUERY) in message.links
    assert "look at the alert's query in Prometheus" in message.body


@pytest.mark.parametrize("blank", ["", "  ", " \n\t "])
async def test_blank_annotations_say_nothing_and_so_the_next_that_says_something_counts(
    scene: Scene, blank: str
) -> None:
    said = {"summary": blank, "description": blank, "runbook_url": blank}
    await scene.take(
        msgspec.structs.replace(DISK, annotations=said),
        alert("Slow", service="search", annotations={**said, "message": "the search is slow", "runbook": "https://r"}),
    )
    await scene.drain()
    disk, slow = scene.channels["team"].messages
    assert (disk.title, slow.title) == ("DiskFull (shop in production)", "the search is slow (production)")
    assert "What: DiskFull\n" in disk.body
    assert "\nNow:" not in disk.body
    assert ("Runbook", "https://r") in slow.links


async def test_since_is_the_alerts_own_beginning(scene: Scene) -> None:
    await scene.take(DISK)
    await scene.drain()
    assert "Since: 2026-05-01 11:30:00 UTC (30m ago)" in scene.channels["team"].messages[0].body


async def test_what_others_call_message_runbook_and_dashboard_is_known(scene: Scene) -> None:
    annotations = {
        "message": "the disk is full",
        "runbook": "https://r.example/disk",
        "dashboard": "https://g.example/d",
    }
    await scene.take(msgspec.structs.replace(DISK, annotations=annotations))
    await scene.drain()
    (message,) = scene.channels["team"].messages
    assert "What: the disk is full" in message.body
    assert "the disk is full" in message.title
    assert {("Runbook", "https://r.example/disk"), ("Dashboard", "https://g.example/d")} <= set(message.links)
    assert "follow the runbook" in message.body


async def test_a_runbook_that_is_no_web_address_stands_in_the_text(scene: Scene) -> None:
    await scene.take(msgspec.structs.replace(DISK, annotations={"runbook_url": "ops/runbooks/disk.md"}))
    await scene.drain()
    assert "Runbook: ops/runbooks/disk.md" in scene.channels["team"].messages[0].body


async def test_more_labels_than_are_shown_are_counted(scene: Scene) -> None:
    many = {f"label_{number}": "x" for number in range(20)}
    await scene.take(msgspec.structs.replace(DISK, labels={**DISK.labels, **many}))
    await scene.drain()
    assert "and 14 more labels" in scene.channels["team"].messages[0].body


@pytest.mark.parametrize(("lines", "headline"), [(1, "HighLatency (high) joined"), (30, "30 alerts joined")])
async def test_what_joined_is_the_title_of_its_update(scene: Scene, lines: int, headline: str) -> None:
    await scene.take(alert())
    await scene.drain()
    scene.clock.advance(MINUTE)
    await scene.take(*(alert("HighLatency", instance=f"h{number}") for number in range(lines)))
    await scene.after(5 * MINUTE)
    assert scene.channels["team"].messages[-1].title.startswith(headline)


async def test_a_persons_update_is_its_title(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()
    incident, config = await scene.incident(), scene.context.settings
    await scene.context.store.write(
        lambda c: response.update(c, config, incident, scene.clock.now, by="ann", note="errors are falling")
    )
    await scene.drain()
    assert scene.channels["team"].messages[-1].title.startswith("Update: errors are falling: ")


async def test_an_outside_owner_hears_that_it_is_asked_and_the_end(make_scene: MakeScene) -> None:
    config = settings(
        "team",
        "provider",
        oncall={"contacts": {"provider": {"channels": ["provider"]}}},
        causes={"actions": {"dependency": ["tell_owner"]}, "owners": {"redis": "provider"}},
    )
    scene = make_scene(config)
    fired = alert("RedisDown", incident_type="dependency_failure", dependency="redis")
    await scene.take(fired)
    await scene.drain()
    incident = await scene.incident()
    await scene.context.store.write(
        lambda c: response.update(c, config, incident, scene.clock.now, by="ann", note="internal remark")
    )
    await scene.take(alert("HighLatency"))
    await scene.after(6 * MINUTE)
    await scene.take(ended(fired), ended(alert("HighLatency")))
    await scene.after(HOUR)
    assert scene.channels["provider"].events == [Event.ESCALATED, Event.RESOLVED]
    assert Event.UPDATE in scene.channels["team"].events


async def test_a_channel_that_is_also_a_colleagues_hears_everything(make_scene: MakeScene) -> None:
    oncall = {"contacts": {"provider": {"channels": ["team"]}}, "people": {"ann": {"channels": ["team"]}}}
    scene = make_scene(settings("team", "other", oncall=oncall))
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]


async def test_the_only_channel_hears_everything_whosever_it_is(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", oncall={"contacts": {"provider": {"channels": ["team"]}}}))
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]


async def test_a_degradation_says_the_impact_and_the_remedy_that_its_alert_names(scene: Scene) -> None:
    said = {"impact": "carts are lost", "remediation": "the cache is grown", "description": "slow"}
    await scene.take(alert(severity="medium", incident_type="Performance Degradation", annotations=said))
    await scene.drain()
    body = scene.channels["team"].messages[0].body
    assert "Impact: carts are lost\nRemediation: the cache is grown\n" in body


@pytest.mark.parametrize(("severity", "event"), [("high", Event.DEGRADATION), ("critical", Event.OPENED)])
async def test_a_degradation_is_told_as_one_unless_it_is_critical(scene: Scene, severity: str, event: Event) -> None:
    annotations = {"value": "900ms", "threshold": "500ms", "description": "checkout is slow"}
    await scene.take(
        alert("HighLatency", severity=severity, incident_type="performance_degradation", annotations=annotations)
    )
    await scene.drain()
    message = scene.channels["team"].messages[0]
    assert message.event == event
    if event is Event.DEGRADATION:
        assert message.title.startswith("Degraded: ")
        assert "Value: 900ms\nThreshold: 500ms" in message.body
        assert "Impact: checkout is slow" in message.body


async def test_the_post_mortem_says_what_happened_and_counts_what_was_sent(scene: Scene) -> None:
    fired = alert(annotations={"prevention": "a canary for every deployment"})
    await scene.take(fired)
    await scene.drain()
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.drain()
    await scene.take(ended(fired), ended(alert("ServiceDown", severity="critical")))
    await scene.after(HOUR)
    told = await scene.lines("told")
    text: str = await scene.read(lambda c: resolution.postmortem(c, scene.context, 1))
    assert told
    assert "| told |" not in text
    assert "| worsened |" in text
    assert f"{len(told) + len(await scene.lines('reminded'))} more lines" in text
    assert "a canary for every deployment" in text
    assert "Prevention: a canary for every deployment" in scene.channels["team"].messages[-1].body


async def test_the_post_mortem_says_of_which_instance_each_alert_was(scene: Scene) -> None:
    await scene.take(alert(instance="h1"), alert(instance="h2"))
    text: str = await scene.read(lambda c: resolution.postmortem(c, scene.context, 1))
    assert [line for line in text.splitlines() if line.startswith("- HighErrorRate")] == [
        f"- HighErrorRate, instance=h{number} (high) from 2026-05-01 12:00:00 UTC." for number in (1, 2)
    ]


async def test_prevention_follows_from_the_deployment_that_went_before(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=2 * MINUTE)
    await scene.take(alert())
    await scene.drain()
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert "look whether 1.2.3 caused it" in scene.channels["team"].messages[-1].body
