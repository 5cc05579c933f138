"""What deliveries do to incidents, from the first alert to the quiet end."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import select

from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.lifecycle import resolution
from deploywatch.receiver.store.schema import alerts, deliveries
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene, alert, ended, settings

QUIET = 5 * MINUTE


async def test_the_first_firing_alert_opens_an_incident_and_tells_the_team(scene: Scene) -> None:
    await scene.take(alert(annotations={"summary": "5% of requests fail"}))
    await scene.drain()
    incident = await scene.incident()
    assert (incident.service, incident.environment, incident.severity) == ("shop", "production", "high")
    assert (incident.status, incident.title) == (Status.OPEN, "5% of requests fail")
    assert scene.channels["team"].events == [Event.OPENED]


async def test_every_delivery_is_kept_as_it_came(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert())
    kept = await scene.read(lambda c: c.execute(select(deliveries.c.body, deliveries.c.alerts)).all())
    assert [tuple(row) for row in kept] == [(b"{}", 1), (b"{}", 1)]


async def test_a_second_alert_of_the_same_service_joins_and_tells_nobody_again(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert("HighLatency"))
    await scene.drain()
    assert (await scene.incident()).severity == "high"
    assert await scene.lines("joined") == ["HighLatency (high) joined"]
    assert scene.channels["team"].events == [Event.OPENED]


async def test_a_joining_alert_with_a_channel_of_its_own_opens_the_incident_there_too(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "database"))
    await scene.take(alert(annotations={"channels": "team"}))
    await scene.take(alert("SlowQueries", annotations={"channels": "database"}))
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]
    assert scene.channels["database"].events == [Event.OPENED]


async def test_a_worse_alert_in_the_same_webhook_is_told_on_its_own_channel_too(make_scene: MakeScene) -> None:
    scene = make_scene(settings("team", "pager", escalation={"channels": ["team"]}))
    down = alert("ServiceDown", severity="critical", annotations={"channels": "pager"})
    await scene.take(alert(annotations={"channels": "team"}), down)
    await scene.drain()
    assert scene.channels["team"].events[0] is Event.OPENED
    assert scene.channels["pager"].events[0] is Event.WORSENED


async def test_a_storm_in_one_webhook_is_one_incident_one_message_and_few_lines(scene: Scene) -> None:
    await scene.take(*(alert(instance=str(number), action="investigate") for number in range(500)))
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]
    assert await scene.lines("joined") == ["499 alerts joined: HighErrorRate (high) ×499"]
    assert len(await scene.read(lambda c: alert_views.views(c, 1))) == 500


async def test_a_worse_alert_raises_the_severity_and_says_so_once(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.take(alert("DataLoss", severity="critical"))
    await scene.drain()
    assert (await scene.incident()).severity == "critical"
    assert await scene.lines("worsened") == ["severity raised from high to critical by ServiceDown"]
    assert scene.channels["team"].events.count(Event.WORSENED) == 1


async def test_a_milder_alert_leaves_the_severity(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert("Chatter", severity="low"))
    assert (await scene.incident()).severity == "high"


async def test_two_services_have_an_incident_each(scene: Scene) -> None:
    await scene.take(alert(), alert(service="search"), alert(environment="staging"))
    assert [(incident.service, incident.environment) for incident in await scene.incidents()] == [
        ("shop", "production"),
        ("search", "production"),
        ("shop", "staging"),
    ]


async def test_two_alerts_in_one_webhook_open_one_incident(scene: Scene) -> None:
    reasons = await scene.take(alert(), alert("HighLatency"))
    await scene.incident()
    assert reasons == {(Effect.OPEN, Reason.FIRST_ALERT): 1, (Effect.JOIN, Reason.INCIDENT_IS_OPEN): 1}


async def test_a_repeated_webhook_changes_nothing_and_tells_nobody_twice(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()
    before = await scene.incident()
    reasons = await scene.take(alert())
    await scene.drain()
    assert await scene.incident() == before
    assert reasons == {(Effect.IGNORE, Reason.DUPLICATE): 1}
    assert scene.channels["team"].events == [Event.OPENED]


async def test_changed_annotations_are_kept_and_change_nothing_else(scene: Scene) -> None:
    await scene.take(alert(annotations={"value": "5%"}))
    reasons = await scene.take(alert(annotations={"value": "7%"}))
    (view,) = await scene.read(lambda c: alert_views.views(c, 1))
    assert view.value == "7%"
    assert reasons == {(Effect.REFRESH, Reason.ANNOTATIONS_CHANGED): 1}


async def test_an_incident_resolves_when_its_last_alert_has_been_quiet_for_the_quiet_time(scene: Scene) -> None:
    await scene.take(alert(), alert("HighLatency"))
    await scene.take(ended(alert()))
    assert (await scene.incident()).status is Status.OPEN
    await scene.take(ended(alert("HighLatency")))
    assert (await scene.incident()).status is Status.MONITORING
    await scene.after(QUIET - timedelta(seconds=1))
    assert (await scene.incident()).status is Status.MONITORING
    await scene.after(timedelta(seconds=1))
    assert (await scene.incident()).status is Status.RESOLVED
    assert await scene.lines("resolved") == ["resolved: all alerts quiet for 5m"]
    assert scene.channels["team"].events == [Event.OPENED, Event.RESOLVED]


async def test_an_alert_that_fires_again_within_the_quiet_time_goes_on_with_the_incident(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(2 * MINUTE)
    await scene.take(alert(starts=2 * MINUTE))
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.OPEN
    assert len(await scene.lines("reopened")) == 1


async def test_the_quiet_time_begins_anew_when_the_alerts_resolve_again(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(2 * MINUTE)
    again = alert(starts=2 * MINUTE)
    await scene.take(again)
    await scene.take(ended(again))
    await scene.after(4 * MINUTE)
    assert (await scene.incident()).status is Status.MONITORING
    await scene.after(MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_an_alert_after_the_end_opens_a_new_incident(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(QUIET)
    await scene.take(alert(starts=QUIET))
    await scene.drain()
    assert [incident.status for incident in await scene.incidents()] == [Status.RESOLVED, Status.OPEN]
    assert scene.channels["team"].events == [Event.OPENED, Event.RESOLVED, Event.OPENED]


async def test_a_person_ends_an_incident_while_its_alert_fires_and_repetitions_open_none(scene: Scene) -> None:
    await scene.take(alert())
    incident = await scene.incident()
    now = scene.clock.now
    await scene.context.store.write(
        lambda c: resolution.resolve(c, scene.context.settings, incident, now, by="ann", why="known")
    )
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert (await scene.incident()).resolved_by == "ann"


async def test_resolved_before_firing_opens_nothing_and_the_late_firing_is_ignored(scene: Scene) -> None:
    first = await scene.take(ended(alert()))
    late = await scene.take(alert())
    assert first == {(Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING): 1}
    assert late == {(Effect.DEFER, Reason.EPISODE_IS_OVER): 1}
    assert await scene.incidents() == []


async def test_a_late_delivery_of_an_older_episode_is_ignored(scene: Scene) -> None:
    await scene.take(alert(starts=HOUR))
    reasons = await scene.take(ended(alert()))
    assert reasons == {(Effect.IGNORE, Reason.OLDER_EPISODE): 1}
    assert (await scene.incident()).status is Status.OPEN


async def test_a_later_start_without_a_resolve_goes_on_with_the_incident(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert(starts=HOUR))
    await scene.take(ended(alert(starts=HOUR)))
    await scene.after(QUIET)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_episodes_in_one_webhook_are_stored_as_if_they_had_come_one_by_one(scene: Scene) -> None:
    await scene.take(alert(), ended(alert()), alert(starts=HOUR))
    columns = (alerts.c.starts_at, alerts.c.status, alerts.c.current)
    rows = await scene.read(lambda c: c.execute(select(*columns).order_by(alerts.c.starts_at)).all())
    assert [tuple(row) for row in rows] == [
        (alert().starts_at, "resolved", False),
        (alert(starts=HOUR).starts_at, "firing", True),
    ]


async def test_an_unknown_action_is_refused_and_the_nearest_known_one_named(scene: Scene) -> None:
    await scene.take(alert(action="rolback"))
    (line,) = await scene.lines("action_refused")
    assert "'rolback', asked for by HighErrorRate" in line
    assert "did you mean 'rollback'?" in line
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]


async def test_an_alert_without_service_is_about_its_job(scene: Scene) -> None:
    await scene.take(alert(service="", environment="", job="node"))
    incident = await scene.incident()
    assert (incident.service, incident.environment) == ("node", "default")


async def test_names_of_any_length_still_open_an_incident(scene: Scene) -> None:
    long = "s" * 100_000
    await scene.take(msgspec.structs.replace(alert(service=long, severity="critical"), fingerprint="f" * 16))
    await scene.drain()
    assert long.startswith((await scene.incident()).service)
    assert Event.OPENED in scene.channels["team"].events


@pytest.mark.parametrize("text", ["soon", "5", "-5m"])
async def test_an_escalate_after_that_cannot_be_read_is_noted(scene: Scene, text: str) -> None:
    await scene.take(alert(annotations={"escalate_after": text}))
    (line,) = await scene.lines("action_refused")
    assert line.startswith(f"escalate_after of HighErrorRate: {text!r}")


async def test_a_low_incident_that_nobody_heard_of_ends_without_a_message(scene: Scene) -> None:
    await scene.take(alert(severity="low"))
    await scene.take(ended(alert(severity="low")))
    await scene.after(QUIET)
    assert (await scene.incident()).status is Status.RESOLVED
    assert scene.channels["team"].events == []
