"""What is stored of webhooks as they came: each of them, and the body of those that are the same once a day."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta, timezone

import msgspec
from sqlalchemy import select

from receiver import retention
from receiver.incidents import book
from receiver.incidents.delivery import Delivery
from receiver.incidents.recall import BODY_STANDS, Recall
from receiver.intake.ingest import ingest
from receiver.intake.payload import understand
from receiver.intake.webhook import Intake
from receiver.store import UnfitError
from receiver.store.schema import deliveries
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, body, ended, settings


async def _bodies(scene: Scene, recall: Recall, *bodies: bytes) -> list[bytes]:
    """Take these, and return what is stored of them."""
    sent = [understand(one, scene.clock.now) for one in bodies]
    await scene.desk.store.write(lambda c: ingest(c, scene.desk.settings, sent, scene.clock.now, recall))
    newest = select(deliveries.c.body).order_by(deliveries.c.id.desc()).limit(len(sent))
    return list(reversed(await scene.read(lambda c: c.execute(newest).scalars().all())))


async def test_a_body_that_comes_again_within_a_day_is_stored_once(scene: Scene) -> None:
    recall, same, other = Recall(), body(alert()), body(ended(alert()))
    assert await _bodies(scene, recall, same, same, other) == [same, b"", other]
    scene.clock.advance(BODY_STANDS - MINUTE)
    assert await _bodies(scene, recall, same) == [b""]
    scene.clock.advance(MINUTE)
    assert await _bodies(scene, recall, same, same) == [same, b""]
    found = await scene.read(lambda c: c.execute(select(deliveries.c.digest).distinct()).scalars().all())
    assert set(found) == {hashlib.sha256(one).digest() for one in (same, other)}


async def test_a_body_that_comes_again_is_a_sign_of_life_once_its_alert_is_the_watchdog(make_scene: MakeScene) -> None:
    scene, recall, same = make_scene(settings()), Recall(), body(alert("Watchdog"))
    for _ in range(3):
        await _bodies(scene, recall, same)
    scene.desk.settings = settings(upstream={"watchdog": {"alert": "Watchdog", "within": "15m"}})  # a reload
    await _bodies(scene, recall, same)
    assert await scene.read(lambda c: book.last_update(c, "Watchdog")) == NOON


async def test_a_body_is_stored_again_when_the_clock_was_put_back(scene: Scene) -> None:
    recall, same = Recall(), body(alert())
    await _bodies(scene, recall, same)
    scene.clock.advance(-HOUR)
    assert await _bodies(scene, recall, same) == [same]


async def test_a_body_whose_transaction_failed_is_stored_when_it_comes_again(scene: Scene) -> None:
    before_time = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    poison = msgspec.structs.replace(alert(service="poison"), starts_at=before_time)
    sent = [understand(body(alert()), NOON), Delivery(NOON, b"", (poison,))]
    intake = Intake(scene.desk, committed=lambda _: None)
    accepting = [asyncio.create_task(intake.accept(one)) for one in sent]
    running = asyncio.create_task(intake.run())
    good, bad = await asyncio.gather(*accepting, return_exceptions=True)
    running.cancel()
    assert (good, type(bad)) == (None, UnfitError)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [body(alert())]


async def test_a_body_is_kept_as_long_as_one_that_it_stands_for(scene: Scene) -> None:
    recall, same = Recall(), body(alert())
    await _bodies(scene, recall, same)
    scene.clock.advance(BODY_STANDS - MINUTE)
    await _bodies(scene, recall, same)
    scene.clock.advance(scene.desk.settings.keep_deliveries)
    await retention.prune(scene.desk)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [same, b""]
    scene.clock.advance(2 * MINUTE)
    await retention.prune(scene.desk)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [b""]
