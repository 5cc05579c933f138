"""A webhook of very many alerts is taken in slice by slice, so that others are committed between them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.intake import pace
from deploywatch.receiver.intake.ingest import Taken
from deploywatch.receiver.intake.pace import Pace
from deploywatch.receiver.intake.payload import understand, understand_in_turns
from deploywatch.receiver.intake.webhook import Intake
from deploywatch.receiver.store import StoreError
from deploywatch.receiver.store.schema import alerts, deliveries
from tests.receiver.scene import NOON, Scene, alert, body, ended

SLICE, MANY = 10, 95


class Watched:
    """An intake, and which services each of its transactions took in, in their order."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.taken: list[Taken] = []
        self.pace = Pace(SLICE, least=SLICE, most=SLICE)
        self.intake = Intake(scene.context, committed=self.taken.append, leasing=scene.worker.leasing, pace=self.pace)
        self.answered: list[str] = []

    async def send(self, name: str, *sent: Any, truncated: int = 0) -> None:
        """Send a webhook and note when it is answered."""
        digest = hashlib.sha256(name.encode()).digest()
        await self.intake.accept(Delivery(NOON, name.encode(), sent, truncated=truncated, digest=digest))
        self.answered.append(name)


@pytest.fixture
async def watched(scene: Scene) -> AsyncIterator[Watched]:
    """Slices of ten alerts."""
    watched = Watched(scene)
    running = asyncio.create_task(watched.intake.run())
    yield watched
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _many(service: str = "shop") -> tuple[Any, ...]:
    return tuple(alert(f"Alert{number:03}", service=service) for number in range(MANY))


async def _stored(scene: Scene) -> Counter[str]:
    """How many alerts of each service are stored."""
    labels = await scene.read(lambda c: c.execute(select(alerts.c.labels)).scalars().all())
    return Counter(one["service"] for one in labels)


async def test_another_webhook_is_committed_between_the_slices_of_a_large_one(watched: Watched) -> None:
    large = asyncio.create_task(watched.send("large", *_many()))
    await asyncio.sleep(0)
    await watched.send("small", alert(service="payment", severity="critical"))
    assert watched.answered == ["small"]
    assert (await _stored(watched.scene))["payment"] == 1
    assert (await _stored(watched.scene))["shop"] < MANY, "the large one has slices left"
    await large
    assert watched.answered == ["small", "large"]
    assert await _stored(watched.scene) == {"shop": MANY, "payment": 1}


async def test_a_large_webhook_is_one_transaction_a_slice_and_stored_once(watched: Watched) -> None:
    await watched.send("large", *_many(), truncated=3)
    assert len(watched.taken) == 10
    reasons = sum((taken.reasons for taken in watched.taken), Counter[Any]())
    assert sum(count for (effect, _), count in reasons.items() if effect in (Effect.OPEN, Effect.JOIN)) == MANY
    assert reasons[Effect.RECORD, Reason.TRUNCATED] == 3
    rows = await watched.scene.read(lambda c: c.execute(select(deliveries.c.alerts, deliveries.c.body)).all())
    assert [tuple(row) for row in rows] == [(MANY, b"large")]
    assert len(await watched.scene.incidents()) == 1


async def test_one_that_broke_off_between_two_slices_is_taken_in_as_a_whole_when_it_comes_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = watched.scene.context.store.write, iter(range(4))

    async def failing(work: Any) -> Any:
        if next(left, None) is None:
            raise StoreError("the disk is full")
        return await write(work)

    monkeypatch.setattr(watched.scene.context.store, "write", failing)
    with pytest.raises(StoreError):
        await watched.send("large", *_many())
    stored = (await _stored(watched.scene))["shop"]
    assert 0 < stored < MANY
    assert stored % SLICE == 0
    monkeypatch.setattr(watched.scene.context.store, "write", write)
    await watched.send("large", *_many())
    await watched.scene.drain()
    assert (await _stored(watched.scene))["shop"] == MANY
    assert len(await watched.scene.incidents()) == 1
    assert len(await watched.scene.lines(Kind.OPENED)) == 1
    assert len(watched.scene.channels["team"].messages) == 1


async def test_a_large_webhook_that_comes_again_unchanged_changes_nothing(watched: Watched) -> None:
    await watched.send("large", *_many())
    changes = watched.intake.alert_cache.changes
    await watched.send("large", *_many())
    await watched.send("large", *_many())
    assert watched.intake.alert_cache.changes == changes


async def test_what_resolves_in_slices_ends_the_incident_only_after_the_last(watched: Watched) -> None:
    await watched.send("large", *_many())
    await watched.send("over", *map(ended, _many()))
    assert len(await watched.scene.lines(Kind.QUIET)) == 1
    assert (await watched.scene.incident()).quiet_since == NOON


async def test_what_came_during_a_slice_is_committed_before_the_next_one_and_not_together_with_it(
    watched: Watched,
) -> None:
    large = asyncio.create_task(watched.send("large", *_many()))
    await asyncio.sleep(0)
    small = [asyncio.create_task(watched.send(f"small{n}", alert(service=f"s{n}"))) for n in range(3)]
    await asyncio.gather(large, *small)
    sizes = [taken.reasons.total() for taken in watched.taken]
    assert sizes[:3] == [SLICE, 3, SLICE]
    assert sum(sizes) == MANY + 3


async def test_a_webhook_that_does_not_fit_beside_others_is_not_torn(watched: Watched) -> None:
    sent = [watched.send(f"of{n}", *(alert(f"A{i}", service=f"s{n}") for i in range(SLICE - 3))) for n in range(3)]
    await asyncio.gather(*sent)
    assert [taken.reasons.total() for taken in watched.taken] == [SLICE - 3] * 3


async def test_larger_slices_than_before_take_in_what_a_smaller_one_had_no_room_for(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first slice is known by heart when it comes the third time; the rest of it was never seen."""
    write = watched.scene.context.store.write
    for _ in range(3):
        left = iter(range(1))

        async def failing(work: Any, left: Any = left) -> Any:
            if next(left, None) is None:
                raise StoreError("the disk is full")
            return await write(work)

        monkeypatch.setattr(watched.scene.context.store, "write", failing)
        with pytest.raises(StoreError):
            await watched.send("large", *_many())
    assert (await _stored(watched.scene))["shop"] == SLICE
    monkeypatch.setattr(watched.scene.context.store, "write", write)
    watched.pace.alerts = watched.pace.most = MANY - 1
    await watched.send("large", *_many())
    assert (await _stored(watched.scene))["shop"] == MANY


def test_a_slice_has_as_many_alerts_as_fit_into_its_time() -> None:
    paced = Pace(500)
    paced.took(0.5, 500)
    assert paced.alerts == 100, "five times too slow"
    paced.took(0.001, 100)
    assert paced.alerts == 200, "a fast one is trusted with twice as many"
    paced.took(9.0, 20)
    assert paced.alerts == 200, "one of a few alerts says nothing of a full one"
    paced.took(1000.0, 200)
    assert paced.alerts == pace.LEAST
    for _ in range(20):
        paced.took(0.0, paced.alerts)
    assert paced.alerts == pace.MOST


async def test_while_a_large_body_is_read_others_have_their_turn() -> None:
    many = body(*(alert("InstanceDown", instance=str(number)) for number in range(2_000)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    for labels in ({}, {"environment": "staging"}):
        turns, beside = 0, asyncio.create_task(others())
        read = await understand_in_turns(many, NOON, labels)
        beside.cancel()
        assert turns >= 10
        assert read == understand(many, NOON, labels)
