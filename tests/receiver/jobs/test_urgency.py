"""What matters is not delayed by a backlog: of all that is due, the most urgent runs first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from deploywatch.receiver.jobs import queue as queue_module
from deploywatch.receiver.jobs.claim import QUEUE_LIMIT, claim
from deploywatch.receiver.jobs.claim import look as claim_look
from deploywatch.receiver.jobs.job import NewJob, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.store import Store
from tests.receiver.conftest import MakeScene
from tests.receiver.jobs.test_queue import keys
from tests.receiver.scene import HOUR, NOON, alert, settings

BACKLOG = 10_000


def waiting(number: int, urgency: Urgency = Urgency.NORMAL, *, channel: str = "team") -> NewJob:
    """One of many messages that an hour without Slack has left."""
    key = f"{urgency.name} {number} {channel}"
    return NewJob("deliver", key, key, NOON - HOUR, queue=f"deliver:{channel}", urgency=urgency)


async def backlog(store: Store, *more: NewJob) -> None:
    """Ten thousand jobs that are due at once, of every urgency but the highest."""
    lower = (Urgency.HIGH, Urgency.NORMAL, Urgency.LOW)
    await store.write(
        lambda c: enqueue(
            c, NOON - HOUR, *(waiting(n, lower[n % 3], channel=f"team{n % 7}") for n in range(BACKLOG)), *more
        )
    )


async def test_the_most_urgent_is_claimed_first_however_long_the_others_have_waited(store: Store) -> None:
    late = [waiting(n, urgency) for n, urgency in enumerate(reversed(Urgency))]
    await store.write(lambda c: enqueue(c, NOON, *late))
    found = await store.write(lambda c: claim(c, NOON, "one", 10))
    assert keys(found) == ["CRITICAL 3 team", "HIGH 2 team", "NORMAL 1 team", "LOW 0 team"]
    assert [job.urgency for job in found] == list(Urgency)


async def test_of_the_same_urgency_what_is_due_first_comes_first(store: Store) -> None:
    new = [
        NewJob("deliver", f"{minutes}", f"{minutes}", NOON - timedelta(minutes=minutes), urgency=Urgency.HIGH)
        for minutes in (1, 3, 2)
    ]
    await store.write(lambda c: enqueue(c, NOON, *new))
    assert keys(await store.write(lambda c: claim(c, NOON, "one", 10))) == ["3", "2", "1"]


async def test_what_others_wait_for_is_hurried_with_them(store: Store) -> None:
    first = NewJob("deliver", "first", "lane", NOON, urgency=Urgency.LOW)
    second = NewJob("deliver", "second", "lane", NOON, urgency=Urgency.CRITICAL)
    other = NewJob("deliver", "other", "another", NOON - HOUR, urgency=Urgency.HIGH)
    await store.write(lambda c: enqueue(c, NOON, first, second, other))
    await store.write(lambda c: queue_module.hurry(c, ["lane"], Urgency.CRITICAL))
    assert keys(await store.write(lambda c: claim(c, NOON, "one", 10))) == ["first", "other"]


async def test_behind_a_backlog_a_critical_alert_is_among_the_next_jobs_taken(
    make_scene: MakeScene, store: Store
) -> None:
    await backlog(store)
    scene = make_scene(settings("team0", "team1"))
    running = {job.id: job for job in await store.write(lambda c: claim(c, NOON, "one", 112))}
    assert len(running) == 7 * QUEUE_LIMIT
    await scene.take(alert(severity="critical"))
    for channel in ("team0", "team1"):  # a place in each of two queues
        running.pop(next(job.id for job in running.values() if job.queue == f"deliver:{channel}"))
    found = await store.write(lambda c: claim_look(c, NOON, "one", 20, running=running))
    told = [job.payload["channel"] for job in found.claimed if job.kind == "deliver" and job.incident_id]
    assert sorted(told) == ["team0", "team1"], "nothing else takes these places"


@pytest.mark.sqlite_only
async def test_a_look_at_a_backlog_reads_no_more_than_it_may_take(store: Store) -> None:
    await backlog(store)
    plans: list[str] = []

    def look(connection: Connection) -> int:
        def explain(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
            if statement.startswith("SELECT"):
                rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.extend(row[3] for row in rows)

        event.listen(connection, "before_cursor_execute", explain)
        return len(claim_look(connection, NOON, "one", 16).claimed)

    assert await store.write(look) == 16
    assert not [plan for plan in plans if plan.startswith("SCAN jobs")]
    assert [plan for plan in plans if "ix_jobs_urgent" in plan]


async def test_a_backlog_is_drained_and_what_is_told_is_told_once(make_scene: MakeScene, store: Store) -> None:
    scene = make_scene(settings("team"))
    names = [f"service{number}" for number in range(300)]
    await scene.take(*(alert(service=name, severity="medium") for name in names))
    await scene.take(alert(service="shop", severity="critical"))
    await scene.drain()
    titles = [message.incident.service for message in scene.channels["team"].messages]
    assert sorted(set(titles)) == sorted([*names, "shop"])
    assert titles.index("shop") <= QUEUE_LIMIT
    assert len(titles) == len(names) + 1
