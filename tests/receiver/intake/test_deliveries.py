"""What is stored of webhooks as they came: each of them, and the body of those that are the same once a day."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta, timezone

import msgspec
from sqlalchemy import select

from deploywatch.receiver import retention
from deploywatch.receiver.incidents.alerts import liveness
from deploywatch.receiver.incidents.alerts.liveness import Heard
from deploywatch.receiver.incidents.dedup_cache import BODY_STANDS, AlertCache
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.intake.payload import understand
from deploywatch.receiver.intake.webhook import Intake
from deploywatch.receiver.store import UnfitError
from deploywatch.receiver.store.schema import deliveries
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, body, ended, settings


async def _bodies(scene: Scene, alert_cache: AlertCache, *bodies: bytes) -> list[bytes]:
    """Take these, and return what is stored of them."""
    sent = [understand(one, scene.clock.now) for one in bodies]
    await scene.context.store.write(lambda c: ingest(c, scene.context.settings, sent, scene.clock.now, alert_cache))
    newest = select(deliveries.c.body).order_by(deliveries.c.id.desc()).limit(len(sent))
    return list(reversed(await scene.read(lambda c: c.execute(newest).scalars().all())))


async def test_a_body_that_comes_again_within_a_day_is_stored_once(scene: Scene) -> None:
    alert_cache, same, other = AlertCache(), body(alert()), body(ended(alert()))
    assert await _bodies(scene, alert_cache, same, same, other) == [same, b"", other]
    scene.clock.advance(BODY_STANDS - MINUTE)
    assert await _bodies(scene, alert_cache, same) == [b""]
    scene.clock.advance(MINUTE)
    assert await _bodies(scene, alert_cache, same, same) == [same, b""]
    answer = await scene.read(lambda c: c.execute(select(deliveries.c.digest).distinct()).scalars().all())
    assert set(answer) == {hashlib.sha256(one).digest() for one in (same, other)}


async def test_a_body_that_comes_again_is_a_sign_of_life_once_its_alert_is_the_watchdog(make_scene: MakeScene) -> None:
    scene, alert_cache, same = make_scene(settings()), AlertCache(), body(alert("Watchdog"))
    for _ in range(3):
        await _bodies(scene, alert_cache, same)
    scene.context.settings = settings(upstream={"watchdog": {"alert": "Watchdog", "within": "15m"}})  # a reload
    await _bodies(scene, alert_cache, same)
    assert await scene.read(lambda c: liveness.heard(c, "Watchdog")) == Heard(NOON, NOON)


async def test_a_body_is_stored_again_when_the_clock_was_put_back(scene: Scene) -> None:
    alert_cache, same = AlertCache(), body(alert())
    await _bodies(scene, alert_cache, same)
    scene.clock.advance(-HOUR)
    assert await _bodies(scene, alert_cache, same) == [same]


async def test_a_body_whose_transaction_failed_is_stored_when_it_comes_again(scene: Scene) -> None:
    before_time = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
    poison = msgspec.structs.replace(alert(service="poison"), starts_at=before_time)
    sent = [understand(body(alert()), NOON), Delivery(NOON, b"", (poison,))]
    intake = Intake(scene.context, committed=lambda _: None, leasing=scene.worker.leasing)
    accepting = [asyncio.create_task(intake.accept(each)) for each in sent]
    running = asyncio.create_task(intake.run())
    good, bad = await asyncio.gather(*accepting, return_exceptions=True)
    running.cancel()
    assert (good, type(bad)) == (None, UnfitError)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [body(alert())]


async def test_a_body_is_kept_as_long_as_one_that_it_stands_for(scene: Scene) -> None:
    alert_cache, same = AlertCache(), body(alert())
    await _bodies(scene, alert_cache, same)
    scene.clock.advance(BODY_STANDS - MINUTE)
    await _bodies(scene, alert_cache, same)
    scene.clock.advance(scene.context.settings.keep_deliveries)
    await retention.prune(scene.context)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [same, b""]
    scene.clock.advance(2 * MINUTE)
    await retention.prune(scene.context)
    assert await scene.read(lambda c: c.execute(select(deliveries.c.body)).scalars().all()) == [b""]
