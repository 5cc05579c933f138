"""What happens is published in the transaction that makes it, in the form that CDEvents asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.events import facts, outbox
from deploywatch.receiver.events.cloudevent import StoredEvent, cdevent
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import resolution, response
from tests.receiver.conftest import MakeScene
from tests.receiver.events.published import faults, publishing, written
from tests.receiver.front import front_of
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, settings

SHOP = {"service": "shop", "environment": "production", "version": "1.2.4"}


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """A receiver that publishes."""
    return make_scene(publishing())


def types(events: list[StoredEvent]) -> list[EventType]:
    """What the events say happened."""
    return [event.type for event in events]


async def test_a_deployment_is_published_as_it_begins_and_ends(scene: Scene) -> None:
    async with front_of(scene) as front:
        begun = await front("POST", "/deployments", {**SHOP, "artifact": "ghcr.io/shop/web:1@sha256:" + "a" * 64})
        scene.clock.advance(MINUTE)
        for _ in range(2):
            await front("PATCH", f"/deployments/{begun.data['id']}", {"status": "success"})
    began, ended = await written(scene)
    assert (began.type, began.at, began.key) == (EventType.DEPLOYMENT_STARTED, NOON, "shop/production")
    assert ended.type == "dev.cdevents.service.deployed.0.3.0"
    event = cdevent(ended)
    assert event["context"]["source"] == "https://ops.example.com/"
    assert event["context"]["timestamp"] == "2026-05-01T12:01:00Z"
    assert event["subject"]["content"] == {
        "environment": {"id": "production"},
        "artifactId": f"pkg:oci/web@sha256%3A{'a' * 64}?repository_url=ghcr.io/shop/web",
    }
    assert event["customData"]["version"] == "1.2.4"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"status": "failure"}, [EventType.DEPLOYMENT_STARTED, EventType.DEPLOYMENT_FAILED]),
        ({"status": "success"}, [EventType.DEPLOYMENT_STARTED, EventType.DEPLOYED]),
        ({"status": "rolled_back"}, [EventType.DEPLOYMENT_STARTED, EventType.ROLLED_BACK]),
        ({"status": "success", "rollback_of": "1.2.3"}, [EventType.DEPLOYMENT_STARTED, EventType.ROLLED_BACK]),
    ],
)
async def test_a_record_of_what_is_over_says_how_it_ended_and_once(
    scene: Scene, more: dict[str, str], said: list[EventType]
) -> None:
    await scene.deployed("1.2.3", ago=HOUR)
    async with front_of(scene) as front:
        for _ in range(2):
            await front("POST", "/deployments", {**SHOP, "timestamp": NOON.isoformat(), **more})
    assert types(await written(scene)) == said


async def test_the_record_of_something_old_is_no_news(scene: Scene) -> None:
    async with front_of(scene) as front:
        old = (NOON - timedelta(days=2)).isoformat()
        assert (await front("POST", "/deployments", {**SHOP, "timestamp": old, "status": "success"})).status == 201
    assert await written(scene) == []


async def test_an_incident_is_published_as_it_opens_worsens_is_acknowledged_and_ends(scene: Scene) -> None:
    await scene.take(alert(severity="high"))
    await scene.take(alert("Down", severity="critical"))

    def respond(connection: Connection) -> None:
        incident, config = store.get(connection, 1), scene.context.settings
        known = response.acknowledge(connection, config, incident, NOON, by="ann", note="")
        resolution.resolve(connection, config, known, NOON + HOUR, by="ann", why="the cache is back")

    await scene.context.store.write(respond)
    opened, worse, acknowledged, resolved = await written(scene)
    assert types([opened, resolved]) == [EventType.INCIDENT_OPENED, EventType.INCIDENT_RESOLVED]
    assert (worse.type, worse.data["content"]["severity_before"]) == (EventType.INCIDENT_WORSENED, "high")
    assert worse.data["content"]["severity"] == "critical"
    assert acknowledged.data["content"]["acknowledged_by"] == "ann"
    assert resolved.data["custom"]["why"] == "the cache is back"
    assert {event.subject for event in (opened, worse, acknowledged, resolved)} == {"incident/1"}


async def test_a_storm_opens_once(scene: Scene) -> None:
    await scene.take(*(alert("HighErrorRate", instance=str(number)) for number in range(20)))
    assert types(await written(scene)) == [EventType.INCIDENT_OPENED]


async def test_a_gate_that_refuses_is_published_once_while_the_same_lacks(scene: Scene) -> None:
    async with front_of(scene) as front:
        for _ in range(3):
            answer = await front("POST", "/gate", SHOP)
            assert (answer.status, answer.data["state"]) == (200, "unknown")
            scene.clock.advance(MINUTE)
        assert (await front("POST", "/gate", {**SHOP, "version": "1.2.5"})).status == 200
        assert (await front("POST", "/gate", {**SHOP, "rollback": True})).data["state"] == "open"
    refused = await written(scene)
    assert types(refused) == [EventType.GATE_REFUSED] * 2
    assert refused[0].data["content"]["lacking"][0]["require"] == "plan"


async def test_without_sinks_nothing_is_written(make_scene: MakeScene) -> None:
    scene = make_scene(settings())
    await scene.take(alert())
    async with front_of(scene) as front:
        await front("POST", "/deployments", SHOP)
        await front("POST", "/gate", SHOP)
    assert await written(scene) == []


async def test_a_fact_that_is_taken_back_takes_its_event_with_it(scene: Scene) -> None:
    def broken(connection: Connection) -> None:
        begun = ledger.start(connection, service="shop", environment="e", version="1", started_at=NOON)
        outbox.emit(connection, scene.context.settings, facts.deployment_started(begun), NOON)
        raise RuntimeError("the transaction fails")

    with pytest.raises(RuntimeError):
        await scene.context.store.write(broken)
    assert await written(scene) == []


async def test_an_assessment_is_an_event_of_ours(scene: Scene) -> None:
    await scene.deployed("1.2.4", ago=HOUR)

    def write(connection: Connection) -> None:
        deployment = ledger.get(connection, 1)
        fact = facts.assessment_completed(deployment, NOON, {"outcome": "well"})
        outbox.emit(connection, scene.context.settings, fact, NOON)

    await scene.context.store.write(write)
    (event,) = await written(scene)
    assert event.data["content"]["assessment"] == {"outcome": "well"}


def test_every_type_of_ours_has_the_form_that_cdevents_reserves() -> None:
    at = {"at": NOON, "recorded_at": NOON, "source": "/x", "service": "s", "environment": "e", "subject": "s/1"}
    ours = [kind for kind in EventType if kind.is_ours]
    assert [faults(StoredEvent(1, type=kind, data={"content": {}, "custom": {}}, **at)) for kind in ours] == [  # type: ignore[arg-type]
        [] for _ in ours
    ]


def test_the_id_stays_and_is_another_in_a_store_that_was_begun_anew() -> None:
    event = StoredEvent(1, NOON, NOON, EventType.DEPLOYED, "/x", "shop", "production", "shop", {})
    assert event.event_id == replace(event, at=NOON + HOUR).event_id
    assert event.event_id != replace(event, recorded_at=NOON + HOUR).event_id


@pytest.mark.parametrize(
    ("version", "artifact", "named"),
    [
        ("1.2.4", "", "pkg:generic/shop@1.2.4"),
        ("1.2.4", "build 17", "pkg:generic/shop@1.2.4"),
        ("", "", "pkg:generic/shop"),
        ("a/b c", "", "pkg:generic/shop@a%2Fb%20c"),
        ("1", "pkg:pypi/shop@1", "pkg:pypi/shop@1"),
        ("1", f"web@sha256:{'0' * 64}", f"pkg:oci/web@sha256%3A{'0' * 64}"),
    ],
)
def test_what_runs_is_named_by_a_package_url(version: str, artifact: str, named: str) -> None:
    assert facts.package("shop", version, artifact) == named


def _deployment(**more: Any) -> Deployment:
    values: dict[str, Any] = {"previous_version": "1.2.3", "strategy": "", "deployer": "ci", "ports": ()}
    return Deployment(1, "shop", "production", "1.2.4", **{**values, **more})


def test_a_rollback_names_what_runs_again() -> None:
    undone = _deployment(status=Status.ROLLED_BACK, started_at=NOON, finished_at=NOON, rollback_of=None)
    assert facts.deployment_ended(undone).content["artifactId"] == "pkg:generic/shop@1.2.3"
    assert facts.rolled_back(undone, "1.2.2", NOON).custom["rolled_back_to"] == "1.2.2"
