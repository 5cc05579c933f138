"""Retention: what is old and over goes, with all that belongs to it; what somebody still needs stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection, Table, func, insert, select

from deploywatch.receiver import retention
from deploywatch.receiver.deployments import assessments
from deploywatch.receiver.deployments.assessments import StoredAssessment
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.alerts import liveness
from deploywatch.receiver.incidents.alerts.liveness import Heard
from deploywatch.receiver.incidents.dedup_cache import AlertCache
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.job import NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.lifecycle import resolution
from deploywatch.receiver.retention import Pruned
from deploywatch.receiver.store.action_schema import attachments, rollbacks
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.schema import alerts, deliveries, incidents, jobs, quarantine
from tests.receiver.actions.ground import critical
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, ended, settings
from tests.receiver.test_metrics import SHOP, _key, _read

DAY = timedelta(days=1)
KEEP = {"keep_incidents": "30d", "keep_deliveries": "2d"}


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """Incidents are kept for thirty days, deliveries for two."""
    return make_scene(settings(**KEEP))


async def _count(scene: Scene, table: Table) -> int:
    found: int = await scene.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())
    return found


async def _over(scene: Scene, service: str = "shop") -> None:
    """An incident that begins, is told, and is over."""
    fired = alert(service=service, starts=scene.clock.now - NOON)
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(HOUR)
    await scene.after(3 * DAY)  # reminders of its review


async def test_an_old_incident_goes_with_all_that_belongs_to_it(scene: Scene) -> None:
    await _over(scene)
    row = {"incident_id": 1, "name": "log", "media_type": "text/plain", "body": b"x", "cut": False, "created_at": NOON}
    await scene.context.store.write(lambda c: c.execute(insert(attachments).values(**row)))
    assert await retention.prune(scene.context) == Pruned(2, 0)
    await scene.after(27 * DAY)
    assert await retention.prune(scene.context) == Pruned()
    await scene.after(2 * DAY)
    assert await retention.prune(scene.context) == Pruned(0, 1)
    left = {table.name for table in metadata.sorted_tables if await _count(scene, table)}
    assert left == {"changes", "tallies"}  # both only count


async def test_counters_do_not_go_back(scene: Scene) -> None:
    await _over(scene)
    before = await _read(scene)
    await scene.after(40 * DAY)
    await retention.prune(scene.context)
    after = await _read(scene)
    assert await _count(scene, incidents) == 0
    assert after[_key("deploywatch_incidents_total", **SHOP)] == 1
    lasted = _key("deploywatch_incident_resolve_seconds_count", severity="high")
    assert after[lasted] == before[lasted] == 1


async def test_what_is_open_stays_however_old_it_is(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert(service="quiet"))
    await scene.take(ended(alert(service="quiet")))
    await scene.after(0 * MINUTE)
    scene.clock.advance(400 * DAY)
    assert (await retention.prune(scene.context)).incidents == 0
    assert len(await scene.incidents()) == 2


async def test_an_incident_with_something_left_to_do_stays_until_it_is_done(scene: Scene) -> None:
    await _over(scene)
    await scene.after(40 * DAY)
    late = NewJob("postmortem", "late", "late", scene.clock.now + DAY, incident_id=1)
    await scene.context.store.write(lambda c: enqueue(c, scene.clock.now, late))
    assert (await retention.prune(scene.context)).incidents == 0
    await scene.after(DAY)
    assert (await retention.prune(scene.context)).incidents == 1


async def test_an_alert_that_fires_on_after_a_person_ended_its_incident_opens_no_other(scene: Scene) -> None:
    await scene.take(alert())
    await scene.drain()

    def end(connection: Connection) -> None:
        resolution.resolve(
            connection, scene.context.settings, store.get(connection, 1), scene.clock.now, by="ann", why=""
        )

    await scene.context.store.write(end)
    await scene.drain()
    await scene.after(40 * DAY)
    assert (await retention.prune(scene.context)).incidents == 0
    await scene.take(alert())
    assert len(await scene.incidents()) == 1


async def test_what_the_brakes_remember_stays(make_scene: MakeScene) -> None:
    target = {"command": ["true"], "verify": {"url": "http://127.0.0.1:1/", "within": "1m"}}
    scene = make_scene(settings(rollback={"mode": "auto", "targets": [target]}, **KEEP))
    await scene.deployed("1", ago=HOUR)
    await scene.deployed("2", ago=MINUTE)
    await scene.take(critical())
    await scene.drain()
    await scene.take(ended(critical()))
    await scene.after(HOUR)
    await scene.after(40 * DAY)
    assert (await retention.prune(scene.context)).incidents == 0
    assert await _count(scene, rollbacks) == 1


async def test_many_go_in_steps_and_the_others_write_in_between(scene: Scene) -> None:
    for number in range(7):
        await _over(scene, f"s{number}")
    await scene.after(40 * DAY)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    scene.context.sleep = pause
    assert (await retention.prune(scene.context, at_once=3)).incidents == 7
    assert len(pauses) == 3


async def test_alerts_and_jobs_of_no_incident_go_too(scene: Scene) -> None:
    await scene.take(alert(firing=False))
    await scene.deployed("1", ago=MINUTE)
    await scene.context.store.write(
        lambda c: enqueue(c, NOON, NewJob("no-such-kind", "done", "done", NOON), NewJob("no-such-kind", "x", "x", NOON))
    )
    await scene.context.store.write(
        lambda c: c.execute(jobs.update().where(jobs.c.key == "done").values(state="done", finished_at=NOON))
    )
    scene.clock.advance(40 * DAY)
    await retention.prune(scene.context)
    assert await _count(scene, alerts) == 0
    assert await _count(scene, jobs) == 1


async def test_a_watchdogs_last_sign_of_life_is_kept(make_scene: MakeScene) -> None:
    watchdog = {"alert": "Watchdog", "within": "15m"}
    scene = make_scene(settings(upstream={"watchdog": watchdog}, **KEEP))
    await scene.take(alert("Watchdog"))
    scene.clock.advance(400 * DAY)
    await retention.prune(scene.context)
    assert await scene.read(lambda c: liveness.heard(c, "Watchdog")) == Heard(NOON, NOON)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_an_alert_that_was_forgotten_may_fire_again(scene: Scene, replicas: int) -> None:
    alert_cache, fired = AlertCache(shared=replicas > 1), alert()
    pruning = alert_cache if replicas == 1 else AlertCache()

    def take(connection: Connection, *what: object) -> None:
        delivery = Delivery(scene.clock.now, b"{}", tuple(what))  # type: ignore[arg-type] # alerts
        ingest(connection, scene.context.settings, [delivery], scene.clock.now, alert_cache)

    await scene.context.store.write(lambda c: take(c, fired))
    await scene.context.store.write(lambda c: take(c, ended(fired)))
    await scene.drain()
    await scene.after(HOUR)
    await scene.after(40 * DAY)
    assert (await retention.prune(scene.context, lost=pruning.lose)).incidents == 1
    again = alert(starts=40 * DAY)
    await scene.context.store.write(lambda c: take(c, ended(fired), again))
    assert [incident.id for incident in await scene.incidents()] == [2]


async def test_deliveries_and_what_was_refused_go_first(scene: Scene) -> None:
    await scene.take(alert())
    row = {"received_at": NOON, "reason": "", "remote": "", "body": b""}
    await scene.context.store.write(lambda c: c.execute(insert(quarantine).values(**row)))
    scene.clock.advance(3 * DAY)
    assert await retention.prune(scene.context) == Pruned(0, 0)
    scene.clock.advance(MINUTE)
    assert await retention.prune(scene.context) == Pruned(2, 0)
    assert (await _count(scene, deliveries), await _count(scene, quarantine)) == (0, 0)


async def test_old_assessments_go_but_for_the_newest_few_that_a_report_shows(make_scene: MakeScene) -> None:
    scene = make_scene(settings(**KEEP))
    old, new = await scene.deployed("1", ago=9 * DAY), await scene.deployed("2", ago=HOUR)

    def assessed(connection: Connection) -> None:
        for deployment in (old, new):
            for number in range(1, 9):
                row = StoredAssessment(
                    deployment_id=deployment.id,
                    number=number,
                    at=deployment.started_at + number * MINUTE,
                    phase="post_deployment",
                    status="healthy",
                    score=1,
                    coverage=1,
                    impact=None,
                    impact_estimated=False,
                    confidence=1,
                    problem="",
                    details={},
                    next_seconds=60,
                )
                assessments.add(connection, row)

    await scene.context.store.write(assessed)
    await retention.prune(scene.context)

    def numbers(connection: Connection) -> list[list[int]]:
        found = [assessments.recent(connection, deployment.id, limit=100) for deployment in (old, new)]
        return [[one.number for one in of] for of in found]

    assert await scene.read(numbers) == [[8, 7, 6, 5, 4], [8, 7, 6, 5, 4, 3, 2, 1]]
