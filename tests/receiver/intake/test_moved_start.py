"""A start that Alertmanager moves: people read since when it fires, and a rollback is decided by that."""

from __future__ import annotations

from typing import Any

from deploywatch.receiver.api.serializers import whole_json
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.intake.payload import understand
from tests.receiver.scene import MINUTE, SECOND, Scene, alert, body, ended

# Two Prometheus of a pair: the other one's alert began 40 s earlier.
KNOWN, LOWERED, RAISED = alert(), alert(starts=-40 * SECOND), alert(starts=10 * MINUTE)
LOWER = {(Effect.REFRESH, Reason.START_LOWERED): 1}
SAME = {(Effect.IGNORE, Reason.DUPLICATE): 1}


async def post(scene: Scene, *alerts: Any) -> dict[Any, int]:
    """Take the body that Alertmanager would send; what was decided."""
    delivery = understand(body(*alerts), scene.clock.now)
    taken = await scene.context.store.write(lambda c: ingest(c, scene.context.settings, [delivery], scene.clock.now))
    return dict(taken.reasons)


async def starts(scene: Scene) -> list[tuple[str, bool]]:
    """When each of the incident's alerts began, and whether it fires, as the API says."""
    whole: Any = await scene.read(lambda c: whole_json(c, scene.context.settings, 1, scene.clock))
    return [(alert["starts_at"][11:19], alert["firing"]) for alert in whole["alerts"]]


async def test_a_lowered_start_is_kept_and_changes_nothing_from_then_on(scene: Scene) -> None:
    await post(scene, KNOWN)
    # For a minute it may be a late delivery of the episode before.
    assert await post(scene, LOWERED) == {(Effect.IGNORE, Reason.OLDER_EPISODE): 1}
    assert await starts(scene) == [("12:00:00", True)]
    await scene.after(2 * MINUTE)
    assert await post(scene, LOWERED) == LOWER
    assert await starts(scene) == [("11:59:20", True)]
    # The other Alertmanager of the pair goes on with the start that it knows: that is the same episode.
    assert await post(scene, KNOWN) == await post(scene, LOWERED) == SAME
    await scene.after(2 * MINUTE)
    assert await post(scene, alert(starts=-30 * SECOND)) == SAME
    assert await post(scene, alert(annotations={"value": "7%"})) == {(Effect.REFRESH, Reason.ANNOTATIONS_CHANGED): 1}
    assert await starts(scene) == [("11:59:20", True)]
    (line,) = await scene.lines("start_lowered")
    assert line.startswith("HighErrorRate began earlier than was known: Alertmanager has lowered its start")


async def test_an_end_under_a_lowered_start_says_how_long_it_was(scene: Scene) -> None:
    await post(scene, KNOWN)
    assert await post(scene, ended(LOWERED)) == {(Effect.RESOLVE, Reason.ALERT_RESOLVED): 1}
    assert await starts(scene) == [("11:59:20", False)]


async def test_a_raised_start_is_an_episode_of_its_own_and_the_one_before_stays_as_it_was(scene: Scene) -> None:
    await post(scene, KNOWN)
    await scene.after(2 * MINUTE)
    await post(scene, LOWERED)
    await scene.after(10 * MINUTE)
    assert await post(scene, RAISED) == {(Effect.JOIN, Reason.RESOLVE_MISSED): 1}
    assert await starts(scene) == [("11:59:20", False), ("12:10:00", True)]
    assert len(await scene.incidents()) == 1


async def test_messages_say_since_when_it_fires(scene: Scene) -> None:
    await post(scene, KNOWN)
    scene.clock.advance(2 * MINUTE)
    await post(scene, LOWERED)
    await scene.drain()
    assert "Since: 2026-05-01 11:59:20 UTC" in scene.channels["team"].messages[-1].body


async def test_an_incident_is_called_after_what_fires_for_longest_by_its_lowered_start(scene: Scene) -> None:
    later = alert("HighLatency", annotations={"summary": "slow"}, starts=SECOND)
    lowered = alert("HighLatency", annotations={"summary": "slow"}, starts=-MINUTE)
    await post(scene, KNOWN, later)
    assert (await scene.incident()).title == "HighErrorRate"
    await scene.after(2 * MINUTE)
    await post(scene, lowered)
    assert (await scene.incident()).title == "slow"
