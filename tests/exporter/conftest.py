"""What the exporter's tests share: local servers that behave as told, and one probe run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, Web


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A local HTTP server; its answers are set with `web.on(path, handler)`."""
    async with Web() as server:
        yield server


@pytest.fixture
async def tcp() -> AsyncIterator[Callable[[Talk], Awaitable[int]]]:
    """Start a TCP server that talks as the given coroutine does; gives its port."""
    servers: list[Tcp] = []

    async def start(talk: Talk) -> int:
        server = Tcp(talk)
        servers.append(server)
        return await server.start()

    yield start
    await asyncio.gather(*(server.stop() for server in servers))


@pytest.fixture(scope="session", params=["redis-server", *filter(shutil.which, ["valkey-server"])])
def redis_program(request: pytest.FixtureRequest) -> str:
    """Redis, and what is like it and on this machine."""
    return str(request.param)


@pytest.fixture(scope="session")
def any_redis(processes: Processes, workshop: Path, redis_program: str) -> Running:
    """A real Redis, and a real Valkey where there is one."""
    return servers.redis(processes, workshop / redis_program, program=redis_program)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """An authority, and servers' certificates of every kind."""
    return Certs(trustme.CA(), tmp_path_factory.mktemp("certs"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a config file; gives its path."""

    def to_file(text: str) -> Path:
        path = tmp_path / "exporter.yml"
        path.write_text(text)
        return path

    return to_file
