"""A resolve is provisional, and a start is what Alertmanager says now: alerts that time out, merge and move."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.decide import LATE, Effect, Reason
from deploywatch.receiver.incidents.incident import Status
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended, settings


def over(firing: Alert, *, after: timedelta) -> Alert:
    """The alert, resolved so long after it began."""
    return msgspec.structs.replace(firing, firing=False, ends_at=firing.starts_at + after)


async def test_what_fires_on_with_the_same_start_after_a_resolve_reopens_the_incident(scene: Scene) -> None:
    # Prometheus paused for four minutes: Alertmanager let the alert time out, and then heard of it again.
    await scene.take(alert())
    await scene.after(4 * MINUTE)
    await scene.take(ended(alert()))
    await scene.after(2 * MINUTE)
    assert await scene.take(alert()) == {(Effect.JOIN, Reason.FIRES_ON): 1}
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.OPEN
    assert await scene.lines("reopened") == ["HighErrorRate fires within the quiet time; the incident goes on"]


async def test_it_reopens_as_often_as_it_pauses(scene: Scene) -> None:
    for _ in range(4):
        await scene.take(alert())
        await scene.after(2 * MINUTE)
        await scene.take(ended(alert()))
        await scene.after(2 * MINUTE)
    await scene.take(alert())
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.OPEN


async def test_after_the_incident_was_resolved_it_opens_another_and_people_hear(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.RESOLVED
    assert await scene.take(alert()) == {(Effect.OPEN, Reason.FIRES_ON): 1}
    await scene.drain()
    assert [incident.status for incident in await scene.incidents()] == [Status.RESOLVED, Status.OPEN]
    assert scene.channels["team"].messages[-1].incident.id == 2


async def test_a_firing_right_after_the_resolve_is_looked_at_again_and_counts_where_nobody_can_be_asked(
    make_scene: MakeScene,
) -> None:
    scene = make_scene(settings(quiet_time="5s"))
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.after(SECOND)
    assert await scene.take(alert()) == {(Effect.DEFER, Reason.EPISODE_IS_OVER): 1}
    await scene.after(LATE / 2)
    # Nobody is told that it is over while it may fire on.
    assert (await scene.incident()).status is Status.MONITORING
    await scene.after(LATE)
    assert (await scene.incident()).status is Status.OPEN
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.OPEN


async def test_the_end_that_comes_while_a_late_firing_is_looked_at_ends_it(make_scene: MakeScene) -> None:
    scene = make_scene(settings(quiet_time="5s"))
    await scene.take(alert())
    await scene.take(ended(alert()))
    await scene.take(alert())
    await scene.after(2 * LATE)
    assert (await scene.incident()).status is Status.OPEN
    await scene.take(over(alert(), after=HOUR))
    await scene.after(MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_a_start_that_alertmanager_lowers_is_the_same_alert_and_its_end_ends_the_incident(scene: Scene) -> None:
    # Two Prometheus of an HA pair: Alertmanager takes the earlier start as soon as it hears of it.
    later, earlier = alert(starts=10 * SECOND), alert()
    await scene.take(later)
    assert await scene.take(earlier) == {(Effect.IGNORE, Reason.OLDER_EPISODE): 1}
    assert await scene.take(over(earlier, after=HOUR)) == {(Effect.RESOLVE, Reason.ALERT_RESOLVED): 1}
    await scene.after(HOUR)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_an_end_before_the_start_that_is_known_ends_nothing(scene: Scene) -> None:
    await scene.take(alert(starts=HOUR))
    assert await scene.take(over(alert(), after=MINUTE)) == {(Effect.IGNORE, Reason.OLDER_EPISODE): 1}
    assert (await scene.incident()).status is Status.OPEN


async def test_a_lowered_start_after_the_end_fires_on_too(scene: Scene) -> None:
    await scene.take(alert(starts=10 * SECOND))
    await scene.take(over(alert(starts=10 * SECOND), after=MINUTE))
    await scene.after(2 * MINUTE)
    assert await scene.take(alert()) == {(Effect.JOIN, Reason.FIRES_ON): 1}
    assert (await scene.incident()).status is Status.OPEN


async def test_what_an_alert_says_is_taken_over_under_its_lowered_start_too(scene: Scene) -> None:
    await scene.take(alert(annotations={"summary": "5 % fail"}))
    lowered = alert(starts=-MINUTE, annotations={"summary": "80 % fail"})
    await scene.take(lowered)
    # For a minute it may be a late delivery of the episode before.
    assert (await scene.incident()).title == "5 % fail"
    await scene.after(2 * MINUTE)
    await scene.take(lowered)
    assert (await scene.incident()).title == "80 % fail"
    assert len(await scene.read(lambda c: alert_views.views(c, 1))) == 1
