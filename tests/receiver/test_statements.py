"""What an incident costs the store: statements on SQLite, trips on PostgreSQL, from the webhook until all is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, event

from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.intake.webhook import Intake
from deploywatch.receiver.store import Store
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, Scene, alert, ended, settings
from tests.support import trips

CHANNELS = ("slack", "pagerduty", "mail", "webhook", "teams")


@dataclass(slots=True)
class Life:
    """An incident of high severity that five channels hear of; `spent` says what it cost until now."""

    scene: Scene
    intake: Intake
    spent: Callable[[], int]
    ends: list[int] = field(default_factory=list)

    async def take(self, *alerts: Any) -> int:
        """Take a webhook in and do what is due; what that cost, until the last job was finished."""
        before = self.spent()
        await self.intake.accept(Delivery(self.scene.clock.now, b"{}", alerts))
        await self.scene.drain()
        return self.ends[-1] - before if self.ends and self.ends[-1] > before else self.spent() - before

    async def pass_over(self) -> int:
        """Let the quiet time pass; what the end cost."""
        before = self.spent()
        await self.scene.after(10 * MINUTE)
        return self.ends[-1] - before


@contextlib.asynccontextmanager
async def life(scene: Scene, spent: Callable[[], int]) -> AsyncIterator[Life]:
    """With its intake running, and every statement prepared by an incident before it."""
    intake = Intake(scene.context, committed=lambda _: None, leasing=scene.worker.leasing)
    lived = Life(scene, intake, spent)
    scene.worker.finished = lambda _job, _outcome: lived.ends.append(spent())
    running = asyncio.create_task(intake.run())
    before = alert(service="before")
    await lived.take(before)
    await lived.take(ended(before))
    await lived.pass_over()
    yield lived
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def sqlite_statements() -> Any:
    """How many statements were executed, BEGIN among them."""
    executed: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        executed.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield executed
    event.remove(Engine, "before_cursor_execute", note)


async def _lives(lived: Life) -> tuple[int, int]:
    """What an incident cost until five channels were told that it is open, and until it was over and they were told."""
    fired = alert()
    opened = await lived.take(fired)
    closed = await lived.take(ended(fired)) + await lived.pass_over()
    incident = (await lived.scene.incidents())[-1]
    assert incident.status is Status.RESOLVED
    assert len(await lived.scene.lines(Kind.TOLD, incident.id)) == 2 * len(CHANNELS)
    assert len(await lived.scene.lines(Kind.INVESTIGATED, incident.id)) == 1
    return opened, closed


@pytest.mark.sqlite_only
async def test_an_incident_costs_few_statements(
    make_scene: MakeScene, store: Store, sqlite_statements: list[str]
) -> None:
    async with life(make_scene(settings(*CHANNELS)), lambda: len(sqlite_statements)) as lived:
        opened, closed = await _lives(lived)
    assert opened < 30
    assert closed < 50


async def test_an_incident_costs_few_trips_to_postgresql(
    make_scene: MakeScene, store: Store, store_url: str, tmp_path: Path
) -> None:
    if store.is_sqlite:
        return
    server = urlsplit(store_url)
    async with trips.counted(str(server.hostname), server.port or 5432) as (port, counted):
        near = Store(store_url.replace(f":{server.port}", f":{port}"))
        await near.open()
        scene = make_scene(settings(*CHANNELS))
        scene.context.store = near
        scene.worker._store = near
        async with life(scene, lambda: counted.count) as lived:
            opened, closed = await _lives(lived)
        await near.close()
    assert opened < 30
    assert closed < 50


@pytest.mark.sqlite_only
async def test_alerts_that_join_many_incidents_cost_as_many_statements_as_those_of_one(
    make_scene: MakeScene, store: Store, sqlite_statements: list[str]
) -> None:
    services = ("shop", "cart", "mail", "search")
    async with life(make_scene(settings(*CHANNELS)), lambda: len(sqlite_statements)) as lived:
        await lived.take(*(alert(service=service) for service in services))
        costs = []
        for number, joining in enumerate((services[:1], services)):
            before = len(sqlite_statements)
            new = (alert(service=service, instance=f"{number}") for service in joining)
            await lived.intake.accept(Delivery(lived.scene.clock.now, b"{}", tuple(new)))
            costs.append(len(sqlite_statements) - before)
    assert costs[0] == costs[1]
