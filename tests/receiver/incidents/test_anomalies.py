"""What comes otherwise than expected is counted by its reason, and said once on the incident's timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.dedup_cache import AlertCache
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.intake.payload import understand
from deploywatch.receiver.store.schema import timeline
from tests.receiver.scene import HOUR, NOON, Scene, alert, body, ended

Sent = list[list[Alert]]

# what is delivered, one webhook after another; then the last decision, and what the first incident's timeline says
UNEXPECTED: dict[str, tuple[Sent, Effect, Reason, str]] = {
    "a duplicate from the other Alertmanager": (
        [[alert()], [alert()]],
        Effect.IGNORE,
        Reason.DUPLICATE,
        "HighErrorRate came again and changes nothing; from here on only counted",
    ),
    "an older episode, late": (
        [[alert(starts=HOUR)], [ended(alert())]],
        Effect.IGNORE,
        Reason.OLDER_EPISODE,
        "HighErrorRate came late: a newer episode of it is known, so it changes nothing; from here on only counted",
    ),
    "a firing that its resolve has overtaken": (
        [[alert()], [ended(alert())], [alert()]],
        Effect.DEFER,
        Reason.EPISODE_IS_OVER,
        (
            "HighErrorRate came as firing shortly after its end; whether that is late or true is looked at again; "
            "from here on only counted"
        ),
    ),
    "a later start without a resolve": (
        [[alert()], [alert(starts=HOUR)]],
        Effect.JOIN,
        Reason.RESOLVE_MISSED,
        "HighErrorRate began anew; the end of its last episode never came; from here on only counted",
    ),
    "other annotations": (
        [[alert(annotations={"value": "5%"})], [alert(annotations={"value": "7%"})]],
        Effect.REFRESH,
        Reason.ANNOTATIONS_CHANGED,
        "HighErrorRate came with other annotations, which are taken over; from here on only counted",
    ),
    "resolved before firing": (
        [[alert()], [ended(alert("HighLatency"))]],
        Effect.RECORD,
        Reason.RESOLVED_BEFORE_FIRING,
        "HighLatency came as resolved and never as firing, so it opens nothing; from here on only counted",
    ),
}


@pytest.mark.parametrize("case", UNEXPECTED)
async def test_it_is_counted_and_said_on_the_timeline(scene: Scene, case: str) -> None:
    sent, effect, reason, line = UNEXPECTED[case]
    for alerts in sent[:-1]:
        await scene.take(*alerts)
    assert await scene.take(*sent[-1]) == {(effect, reason): 1}
    assert await scene.lines(reason) == [line]


@pytest.mark.parametrize("alert_cache", [None, AlertCache])
async def test_it_is_said_once_however_often_it_comes(
    scene: Scene, alert_cache: Callable[[], AlertCache] | None
) -> None:
    kept = alert_cache() if alert_cache else None
    for _ in range(4):
        await _take(scene, Delivery(NOON, b"", (alert(), alert("HighLatency"))), kept)
    if kept:
        kept.forget()
    await _take(scene, Delivery(NOON, b"", (alert(),)), kept)
    assert len(await scene.lines(Reason.DUPLICATE)) == 1


async def test_it_is_said_on_each_incident(scene: Scene) -> None:
    for _ in range(2):
        await scene.take(alert(), alert(service="search"))
    assert [len(await scene.lines(Reason.DUPLICATE, incident)) for incident in (1, 2)] == [1, 1]


async def test_what_belongs_to_no_incident_is_only_counted(scene: Scene) -> None:
    assert await scene.take(ended(alert())) == {(Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING): 1}
    assert await scene.read(lambda c: c.execute(select(timeline)).all()) == []


async def test_a_truncated_group_is_counted_by_its_missing_alerts_and_said(scene: Scene) -> None:
    taken = [await _take(scene, understand(body(alert(), truncatedAlerts=12), NOON)) for _ in range(2)]
    assert [reasons[Effect.RECORD, Reason.TRUNCATED] for reasons in taken] == [12, 12]
    (line,) = await scene.lines(Reason.TRUNCATED)
    assert line.startswith("Alertmanager cut 12 alerts off a group (max_alerts)")


async def test_what_a_truncated_group_left_out_is_taken_when_it_comes(scene: Scene) -> None:
    await _take(scene, understand(body(alert(), truncatedAlerts=1), NOON))
    assert await scene.take(alert("HighLatency")) == {(Effect.JOIN, Reason.INCIDENT_IS_OPEN): 1}


async def test_a_changed_label_is_another_alert_of_the_same_incident(scene: Scene) -> None:
    await scene.take(alert(severity="high"))
    assert await scene.take(alert(severity="critical")) == {(Effect.WORSEN, Reason.MORE_SEVERE): 1}
    await scene.take(ended(alert(severity="high")))
    assert (await scene.incident()).quiet_since is None
    assert await scene.lines("worsened") == ["severity raised from high to critical by HighErrorRate"]


async def _take(scene: Scene, delivery: Delivery, alert_cache: AlertCache | None = None) -> Any:
    work = scene.context.store.write(
        lambda c: ingest(c, scene.context.settings, [delivery], scene.clock.now, alert_cache)
    )
    return (await work).reasons
