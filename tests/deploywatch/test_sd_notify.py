"""systemd hears when a server listens, reloads and stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from deploywatch.access.webconfig import Access
from deploywatch.errors import DeploywatchError
from deploywatch.web import sd_notify
from deploywatch.web.serving import Server


@pytest.fixture(params=["/{folder}/notify", "@deploywatch-test-{folder}"], ids=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    name = request.param.format(folder=str(tmp_path)[1:])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        listening.settimeout(60)
        monkeypatch.setenv(sd_notify.SOCKET, name)
        yield listening


async def heard(systemd: socket.socket) -> dict[str, str]:
    text = await asyncio.to_thread(lambda: systemd.recv(4096).decode())
    return dict(line.split("=", 1) for line in text.split("\n"))


async def test_started_means_listening_and_a_reload_is_over_when_it_holds_or_is_refused(systemd: socket.socket) -> None:
    faults = ["line 1\nline 2"]

    async def reload() -> None:
        if faults:
            raise DeploywatchError(faults.pop())

    at: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server("sample", "127.0.0.1:0", Access(None), CollectorRegistry(), reload=reload)
    task = asyncio.create_task(server.run(listening=at.set_result))
    first = await heard(systemd)
    assert first["READY"] == "1"
    host, _, port = first["STATUS"].removeprefix("listening on ").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    for told in ("the configuration was refused: line 1 line 2", "the configuration is in force"):
        await server.reload_all()
        begun = await heard(systemd)
        assert begun["RELOADING"] == "1"
        assert int(begun["MONOTONIC_USEC"]) > 0
        assert await heard(systemd) == {"READY": "1", "STATUS": told}
    server.draining.set()
    assert await heard(systemd) == {"STOPPING": "1"}
    await task


def test_a_socket_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sd_notify.SOCKET, str(tmp_path / "gone"))
    sd_notify.ready("listening")


def test_nobody_is_told_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sd_notify.SOCKET, raising=False)
    sd_notify.stopping()
