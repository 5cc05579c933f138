"""A receiver's store, context and worker for each test; time is moved, and channels keep what they hear."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploywatch.demo.servers import Running
from deploywatch.receiver.app import HANDLERS
from deploywatch.receiver.context import Context
from deploywatch.receiver.events import deliver, outbox
from deploywatch.receiver.events.sinks import Sinks
from deploywatch.receiver.jobs.retry import Handler
from deploywatch.receiver.jobs.worker import Worker
from deploywatch.receiver.notify import overtaken
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.columns import metadata
from tests.receiver.front import Front, front_of
from tests.receiver.scene import MovingClock, RecordedChannel, Scene, settings

MakeScene = Callable[..., Scene]


@pytest.fixture
def clock() -> MovingClock:
    """Noon, until it is moved."""
    return MovingClock()


@pytest.fixture(scope="session")
def templates() -> Templates:
    """Our own templates, compiled once."""
    return Templates()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the current schema, migrated once and copied for each test."""
    file = tmp_path_factory.mktemp("store") / "store.db"

    async def migrate() -> None:
        store = Store(f"sqlite:///{file}")
        await store.open()
        await store.close()

    asyncio.run(migrate())
    return file


# TRUNCATE makes new files of every table and index: 90 ms of a core against 1 ms.
_EMPTY = "; ".join(
    f"delete from {table.name}"  # noqa: S608 - names of ours
    for table in reversed(metadata.sorted_tables)
    if table.name != "changes"  # its one row stays
)
_AFRESH = "select setval(seqrelid, seqstart, false) from pg_sequence"
_MADE: set[str] = set()
_ALONE = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'receiver' and pid <> pg_backend_pid()"


async def _emptied(server: Running) -> str:
    """The URL of a database that was migrated once, with nothing in it and nobody else on it."""
    url = f"{server.url.rpartition('/')[0]}/receiver"
    if url not in _MADE:
        _MADE.add(url)
        async with _connected(server.url) as connection:
            await connection.execute("create database receiver")
        store = Store(url)
        await store.migrate()
        await store.close()
        return url
    async with _connected(url) as connection:
        await connection.execute(_ALONE)
        await connection.execute(_EMPTY)
        await connection.execute(_AFRESH)
    return url


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about SQLite's file is not asked of PostgreSQL; of a test with many cases the gate asks it the first."""
    elsewhere, asked = set[pytest.Item](), set[str]()
    for item in items:
        test, parameters, _ = item.nodeid.partition("[postgresql")
        if parameters and item.get_closest_marker("sqlite_only"):
            elsewhere.add(item)
        elif parameters and test in asked:
            item.add_marker(pytest.mark.heavy)
        elif parameters:
            asked.add(test)
    config.hook.pytest_deselected(items=list(elsewhere))
    items[:] = [item for item in items if item not in elsewhere]


@pytest.fixture(params=["sqlite", "postgresql"])
async def store_url(request: pytest.FixtureRequest, empty_store: Path, tmp_path: Path) -> str:
    """Where the test's store is: a file, or a database on a real PostgreSQL."""
    if request.param == "postgresql":
        return await _emptied(request.getfixturevalue("postgres_server"))
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store with the current schema and nothing in it."""
    opened = Store(store_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def make_scene(store: Store, clock: MovingClock, templates: Templates) -> AsyncIterator[MakeScene]:
    """Sets a scene for a configuration; every channel of it is recorded, and all share the test's store and clock."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        def make(config: ReceiverConfig | None = None, *, owner: str = "test") -> Scene:
            config = config or settings()
            channels = {name: RecordedChannel() for name in config.channels}
            context = Context(config, store, templates, channels, http, clock=clock, sleep=clock.sleep)
            handlers: dict[str, Handler] = {kind: partial(handle, context) for kind, handle in HANDLERS.items()}
            sinks = Sinks(config.events)
            stack.push_async_callback(sinks.close)
            handlers[outbox.KIND] = partial(deliver.handle, context, sinks=sinks)
            worker = Worker(store, handlers, owner=owner, clock=clock)
            worker.lost = partial(overtaken.lost, context)
            # A webhook starts the jobs that it queued: none may outlive the store and the session.
            stack.push_async_callback(worker.stop, 1)
            return Scene(context, clock, worker, channels)

        yield make


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    """A scene with one channel, `team`."""
    return make_scene()


@pytest.fixture
async def api(scene: Scene) -> AsyncIterator[Front]:
    """The API in front of the scene."""
    async with front_of(scene) as front:
        yield front
