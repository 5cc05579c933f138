"""The server kit at work: a small server in a process of its own."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deploywatch.demo.processes import Child, Processes, wait_until
from tests.support.forked import ForkedProcesses

PROGRAM = Path(__file__).with_name("sample_server.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    text: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """The running sample server."""

    child: Child
    folder: Path
    address: str

    async def ask(
        self, path: str, method: str = "GET", *, tls: ssl.SSLContext | None = None, authorization: str = ""
    ) -> Answer:
        """One request on a connection of its own; over TLS when a context is given."""
        headers = {"Authorization": authorization} if authorization else {}
        url = f"{'https' if tls else 'http'}://{self.address}{path}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls or True)) as session,
            session.request(method, url, headers=headers) as answer,
        ):
            found = {key.lower(): value for key, value in answer.headers.items()}
            return Answer(answer.status, await answer.text(), found)


Start = Callable[..., Sample]


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Processes]:
    """Children of one test, stopped at its end."""
    with ForkedProcesses(tmp_path / "logs") as running:
        yield running


@pytest.fixture
def start(children: Processes, tmp_path: Path) -> Start:
    """Starts the sample server, with the options given."""

    def begin(*options: str | Path, program: Path = PROGRAM) -> Sample:
        command: list[str | Path] = [sys.executable, program, "--config.file", "none", "--folder", tmp_path]
        listen: list[str | Path] = ["--web.listen-address", "127.0.0.1:0"]
        child = children.start("sample", [*command, *listen, *options])
        address = tmp_path / "address"
        wait_until(
            lambda: address.exists() and bool(address.read_text()), within=90, what="start the sample", child=child
        )
        return Sample(child, tmp_path, address.read_text())

    return begin
