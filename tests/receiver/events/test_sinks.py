"""Events arrive signed, at least once and in their order; what does not arrive is counted and said."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.events import facts, outbox
from deploywatch.receiver.events.sinks import Sinks
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.stored_metrics import snapshot
from tests.receiver.conftest import MakeScene
from tests.receiver.events.published import SECRET, publishing, written
from tests.receiver.scene import MINUTE, Scene

PAGE = Path(__file__).parents[3] / "docs" / "events.md"


@dataclass(slots=True)
class Bus:
    """A webhook of somebody's: answers with what is in `answers`, then 202, and keeps what it took."""

    url: str = ""
    answers: deque[int] = field(default_factory=deque)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, request: web.Request) -> web.Response:
        """Take one."""
        body = await request.read()
        status = self.answers.popleft() if self.answers else 202
        if status < 300:
            self.taken.append((dict(request.headers), body))
        return web.Response(status=status, text="as you say")

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it took."""
        return [json.loads(body) for _, body in self.taken]

    @property
    def heard(self) -> list[str]:
        """`service version` of each event, in the order of arrival."""
        contents = [event["data"]["subject"]["content"] for event in self.events]
        return [f"{content['service']} {content['version']}" for content in contents]


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """One that takes everything."""
    bus, app = Bus(), web.Application()
    app.router.add_post("/in", bus.__call__)
    async with TestServer(app) as server:
        bus.url = str(server.make_url("/in"))
        yield bus


@pytest.fixture
def scene(make_scene: MakeScene, bus: Bus) -> Scene:
    """A receiver that publishes to it."""
    return make_scene(publishing(bus.url))


async def began(scene: Scene, *versions: str, service: str = "shop") -> None:
    """Have deployments begin, one after another."""
    for version in versions:

        def write(connection: Connection, version: str = version) -> None:
            now = scene.clock.now
            new = ledger.start(connection, service=service, environment="production", version=version, started_at=now)
            outbox.emit(connection, scene.context.settings, facts.deployment_started(new), now)

        await scene.context.store.write(write)


def example() -> Any:
    """The function that the page gives for checking a signature."""
    found: dict[str, Any] = {}
    exec(PAGE.read_text().partition("```python\n")[2].partition("```")[0], found)  # noqa: S102 - it is our own page
    return found["is_ours"]


async def test_an_event_arrives_structured_and_signed_as_the_page_says(scene: Scene, bus: Bus) -> None:
    await began(scene, "1")
    await scene.drain()
    ((headers, body),) = bus.taken
    (event,) = await written(scene)
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["Deploywatch-Delivery"] == headers["Idempotency-Key"] == event.event_id
    assert example()(headers["Deploywatch-Signature"], body, SECRET.encode())
    assert not example()(headers["Deploywatch-Signature"], body + b" ", SECRET.encode())
    sent = json.loads(body)
    attributes = {name: sent[name] for name in ("specversion", "id", "source", "type", "subject", "time")}
    assert attributes == {
        "specversion": "1.0",
        "id": event.event_id,
        "source": "https://ops.example.com/",
        "type": "dev.cdeventsx.deploywatch-deployment.started.0.1.0",
        "subject": "deployment/1",
        "time": "2026-05-01T12:00:00Z",
    }


def test_the_pages_example_is_an_event_as_it_is_sent() -> None:
    example = json.loads(PAGE.read_text().partition("```json\n")[2].partition("```")[0])
    assert example["data"]["context"]["id"] == example["id"]
    assert set(example) == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}


async def test_while_the_sink_is_away_nothing_is_lost_and_nothing_reordered(scene: Scene, bus: Bus) -> None:
    bus.answers.extend([503] * 8)
    for number in range(6):
        await began(scene, str(number))
        await began(scene, str(number), service="cart")
        await scene.after(timedelta(seconds=10))
    for _ in range(6):
        await scene.after(MINUTE)
    assert [message for message in bus.heard if "shop" in message] == [f"shop {number}" for number in range(6)]
    assert [message for message in bus.heard if "cart" in message] == [f"cart {number}" for number in range(6)]


async def test_what_is_refused_holds_up_its_own_key_alone_until_it_is_given_up(scene: Scene, bus: Bus) -> None:
    bus.answers.append(422)
    await began(scene, "1")
    await scene.drain()
    await began(scene, "2")
    await began(scene, "1", service="cart")
    await scene.drain()
    assert bus.heard == ["cart 1"]
    await scene.after(timedelta(minutes=16))
    assert bus.heard == ["cart 1", "shop 1", "shop 2"]


async def test_what_is_given_up_is_counted_with_its_reason_and_the_next_go_on(scene: Scene, bus: Bus) -> None:
    registry = CollectorRegistry()
    counters = Counters(registry)
    counters.know_sinks(["bus"])
    scene.worker.finished = counters.finished

    def count(outcome: str, reason: str) -> float | None:
        labels = {"sink": "bus", "outcome": outcome, "reason": reason}
        return registry.get_sample_value("deploywatch_events_total", labels)

    assert (
        registry.get_sample_value(
            "deploywatch_events_total", {"sink": "bus", "outcome": "failed", "reason": "rejected"}
        )
        == 0
    )
    bus.answers.extend([400, 400])
    await began(scene, "1", "2")
    await scene.drain()
    waiting = await scene.read(
        lambda c: {
            (sample.name, sample.labels.get("sink")): sample.value
            for family in snapshot(c, scene.clock.now + MINUTE).collect()
            for sample in family.samples
            if "deploywatch_events" in sample.name
        }
    )
    assert waiting == {("deploywatch_events_waiting", "bus"): 2, ("deploywatch_events_oldest_seconds", "bus"): 60}
    said = await scene.read(lambda c: outbox.trouble(c, scene.clock.now + 10 * MINUTE))
    assert said == ["2 events for bus waiting, the oldest for 10m"]
    await scene.after(timedelta(days=3, minutes=1))
    said = await scene.read(lambda c: outbox.trouble(c, scene.clock.now))
    assert said == ["1 event for bus given up within a day, last at 12:01 UTC"]
    assert (count("retry", "rejected"), count("failed", "rejected"), count("done", "")) == (1, 1, 1)
    assert bus.heard == ["shop 2"]


async def test_a_sink_that_is_gone_from_the_configuration_fails_loudly(make_scene: MakeScene, scene: Scene) -> None:
    await began(scene, "1")
    other = make_scene(publishing().model_copy(update={"events": publishing().events.model_copy(update={"sinks": {}})}))
    await other.drain()
    states = await scene.read(lambda c: c.execute(select(jobs.c.state, jobs.c.note)).all())
    assert [tuple(row) for row in states] == [(State.FAILED, "bus is not among events.sinks any more")]


async def test_a_new_configuration_is_tried_at_once(scene: Scene, bus: Bus) -> None:
    bus.answers.append(401)
    await began(scene, "1")
    await scene.drain()
    assert bus.heard == []
    await scene.context.store.write(lambda c: outbox.try_again_now(c, scene.clock.now))
    await scene.drain()
    assert bus.heard == ["shop 1"]


async def test_of_two_sinks_one_that_hangs_holds_up_no_other(make_scene: MakeScene, bus: Bus) -> None:
    dead = {"kind": "webhook", "url": "http://127.0.0.1:1/", "secret": SECRET}
    alive = {**dead, "url": bus.url}
    scene = make_scene(publishing(events={"sinks": {"dead": dead, "alive": alive}}))
    await began(scene, "1", "2")
    await scene.drain()
    assert bus.heard == ["shop 1", "shop 2"]


async def test_old_events_are_forgotten_after_every_sink_had_its_chance(scene: Scene) -> None:
    from deploywatch.receiver.retention import prune  # noqa: PLC0415

    await began(scene, "1")
    scene.clock.advance(timedelta(days=13))
    await prune(scene.context)
    assert len(await written(scene)) == 1
    scene.clock.advance(timedelta(days=2))
    await prune(scene.context)
    assert await written(scene) == []


async def test_what_is_sent_again_after_a_crash_has_the_same_id(scene: Scene, bus: Bus) -> None:
    await began(scene, "1")
    (event,) = await written(scene)
    sinks = Sinks(scene.context.settings.events)
    sink = sinks.get("bus")
    assert sink is not None
    await sink.send(event)
    await sinks.close()
    await scene.drain()
    assert Counter(event["id"] for event in bus.events) == {event.event_id: 2}


async def test_a_reload_brings_other_sinks(bus: Bus, scene: Scene) -> None:
    await began(scene, "1")
    (event,) = await written(scene)
    sinks = Sinks(publishing("http://127.0.0.1:1/").events)
    await sinks.renew(scene.context.settings.events)
    sink = sinks.get("bus")
    assert sink is not None
    await sink.send(event)
    await sinks.close()
    assert len(bus.events) == 1
