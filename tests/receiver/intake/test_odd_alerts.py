"""Alerts as no Alertmanager should send them, and some do: raw bodies over the webhook's reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from deploywatch.receiver.incidents.decide import Decision, Effect, Reason
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.intake.payload import understand
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, settings

NEVER = "0001-01-01T00:00:00Z"


def raw(name: str = "Errors", *, labels: Mapping[str, str | None] | None = None, **fields: Any) -> dict[str, Any]:
    """One alert of the shop as JSON; a label that is None is left out."""
    whole = {"alertname": name, "service": "shop", "severity": "high", **(labels or {})}
    said = {key: value for key, value in whole.items() if value is not None}
    times = {"startsAt": NOON.isoformat(), "endsAt": NEVER}
    return {"status": "firing", "labels": said, "annotations": {}, "fingerprint": name, **times, **fields}


async def post(scene: Scene, *alerts: Any) -> Any:
    """Take a body with these alerts; how each was judged."""
    delivery = understand(json.dumps({"version": "4", "alerts": alerts}).encode(), scene.clock.now)
    assert delivery.rejected == ()
    reasons = await scene.take(*delivery.alerts)
    await scene.drain()
    return reasons


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """An incident is over when it was quiet for a minute."""
    return make_scene(settings(quiet_time="1m"))


STARTS = [
    NEVER,
    "0001-01-01T00:00:00+00:00",
    "1970-01-01T00:00:00Z",
    (NOON - 400 * 24 * HOUR).isoformat(),
    (NOON + HOUR).isoformat(),
    "9999-12-31T23:59:59.999999999Z",
    "2026-05-01T12:00:00.123456789+14:00",
]


@pytest.mark.parametrize("starts", STARTS)
async def test_an_alert_begins_and_ends_whenever_its_senders_clock_says(scene: Scene, starts: str) -> None:
    await post(scene, raw(startsAt=starts))
    assert (await scene.incident()).status is Status.OPEN
    await post(scene, raw(startsAt=starts))
    await post(scene, raw(startsAt=starts, status="resolved", endsAt=NOON.isoformat()))
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


@pytest.mark.parametrize("ends", [NEVER, (NOON + 24 * HOUR).isoformat(), (NOON - HOUR).isoformat()])
async def test_its_status_says_whether_it_fires_and_not_its_end(scene: Scene, ends: str) -> None:
    await post(scene, raw(endsAt=ends))
    assert (await scene.incident()).status is Status.OPEN
    await post(scene, raw(status="resolved", endsAt=ends))
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_two_sources_whose_clocks_differ_by_an_hour_tell_of_one_episode_each(make_scene: MakeScene) -> None:
    scene = make_scene(settings(quiet_time="1m"))
    late, early = NOON + HOUR, NOON - HOUR
    bodies = {
        name: json.dumps({"version": "4", "alerts": [raw(startsAt=starts.isoformat())]}).encode()
        for name, starts in (("ahead", late), ("behind", early))
    }
    for name, body in bodies.items():
        await scene.take(*understand(body, NOON, {"cluster": name, "environment": name}).alerts)
    over = json.dumps({"version": "4", "alerts": [raw(startsAt=early.isoformat(), status="resolved")]}).encode()
    await scene.take(*understand(over, NOON, {"cluster": "behind", "environment": "behind"}).alerts)
    await scene.after(2 * MINUTE)
    status = {incident.environment: incident.status for incident in await scene.incidents()}
    assert status == {"ahead": Status.OPEN, "behind": Status.RESOLVED}


@pytest.mark.parametrize(
    ("labels", "service", "severity"),
    [
        ({"severity": None}, "shop", "high"),
        ({"severity": ""}, "shop", "high"),
        ({"severity": "whatever"}, "shop", "high"),
        ({"severity": "CRITICAL"}, "shop", "critical"),
        ({"severity": " Sev-1 "}, "shop", "critical"),
        ({"service": None, "alertname": None, "severity": None}, "alert Errors", "high"),
        ({"service": ""}, "Errors", "high"),
        ({"": "no name"}, "shop", "high"),
    ],
)
async def test_labels_that_are_missing_or_empty_are_read_as_the_dangerous_ones(
    scene: Scene, labels: dict[str, str | None], service: str, severity: str
) -> None:
    await post(scene, raw(labels=labels))
    incident = await scene.incident()
    assert (incident.service, incident.severity) == (service, severity)


async def test_no_labels_at_all_are_an_alert_all_the_same(scene: Scene) -> None:
    await post(scene, {**raw(), "labels": {}})
    assert (await scene.incident()).service == "alert Errors"


@pytest.mark.parametrize(
    "labels",
    [
        {"pod": "p" * 300_000},
        {f"label_{number}": "v" * 100 for number in range(1000)},
        {"alertname": "".join(f"{number:x}" for number in range(100_000))},
        {"service": "".join(f"{number:x}" for number in range(2_000))},
        {"environment": "".join(f"{number:x}" for number in range(2_000))},
    ],
    ids=["one", "many", "name", "service", "environment"],
)
async def test_huge_labels_are_taken(scene: Scene, labels: dict[str, str]) -> None:
    await post(scene, raw(labels=labels, fingerprint="f"))
    await post(scene, raw(labels=labels, fingerprint="f", status="resolved"))
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.RESOLVED


async def test_what_resolves_without_having_fired_opens_nothing_and_is_counted(scene: Scene) -> None:
    reasons = await post(scene, raw(status="resolved", endsAt=NOON.isoformat()))
    assert reasons == {Decision(Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING): 1}
    assert await scene.incidents() == []


async def test_an_alert_that_comes_twice_in_a_body_is_taken_once(scene: Scene) -> None:
    reasons = await post(scene, raw(), raw(), raw())
    assert reasons == {
        Decision(Effect.OPEN, Reason.FIRST_ALERT): 1,
        Decision(Effect.IGNORE, Reason.DUPLICATE): 2,
    }


@pytest.mark.parametrize("order", [1, -1])
async def test_of_two_episodes_in_a_body_the_newer_counts_whichever_stands_first(scene: Scene, order: int) -> None:
    older = raw(startsAt=(NOON - HOUR).isoformat(), status="resolved", endsAt=(NOON - MINUTE).isoformat())
    await post(scene, *[older, raw()][::order])
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.OPEN


@pytest.mark.parametrize("together", [True, False])
async def test_alerts_that_share_a_fingerprint_and_have_other_labels_are_alerts_of_their_own(
    scene: Scene, together: bool
) -> None:
    shop = raw(fingerprint="1", labels={"cluster": "a"})
    search = raw(fingerprint="1", labels={"cluster": "b", "service": "search", "severity": "critical"})
    for alerts in [[shop, search]] if together else [[shop], [search]]:
        await post(scene, *alerts)
    assert {incident.service: incident.severity for incident in await scene.incidents()} == {
        "shop": "high",
        "search": "critical",
    }
    reasons = await post(scene, search)
    assert reasons[Decision(Effect.RECORD, Reason.FINGERPRINT_SHARED)] == 1
    await post(scene, {**shop, "status": "resolved"})
    await scene.after(2 * MINUTE)
    assert {incident.service: incident.status for incident in await scene.incidents()} == {
        "shop": Status.RESOLVED,
        "search": Status.OPEN,
    }
    await post(scene, {**search, "status": "resolved"})
    await scene.after(2 * MINUTE)
    assert {incident.status for incident in await scene.incidents()} == {Status.RESOLVED}


async def test_two_alerts_of_a_service_that_share_a_fingerprint_are_one_incident_which_says_so(scene: Scene) -> None:
    await post(scene, raw(fingerprint="1"), raw("Latency", fingerprint="1"))
    assert await scene.lines("joined") == ["Latency (high) joined"]
    (line,) = await scene.lines("fingerprint_shared")
    assert line.startswith("Latency has the fingerprint of an alert with other labels; it is an alert of its own")
    await post(scene, raw(fingerprint="1", status="resolved"))
    await scene.after(2 * MINUTE)
    assert (await scene.incident()).status is Status.OPEN
