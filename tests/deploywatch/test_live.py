"""What streams cost those who send webhooks is bounded: told in turns, and no more often than so many can be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from prometheus_client import CollectorRegistry

from deploywatch.pages import live
from deploywatch.pages.live import Ended, Live, _Stream


async def test_streams_are_told_one_by_one_with_a_pause_in_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_PAUSE_SECONDS", 3600)
    monkeypatch.setattr(live, "SPREAD_SECONDS", 360_000)
    told = Live(_nothing, CollectorRegistry())
    streams = [_Told() for _ in range(50)]
    told._streams = set(streams)  # type: ignore[arg-type] # it needs to be told, and no more
    publishing = asyncio.create_task(told._publish({"change": "1"}))
    for _ in range(100):
        await asyncio.sleep(0)
    assert sum(stream.messages for stream in streams) == 1
    publishing.cancel()


async def test_in_a_storm_nothing_new_is_told_until_the_pages_have_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page loads itself anew after what it hears: what is never told is never loaded."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live, "REST_SECONDS", 3600)
    looks = 0
    enough = asyncio.Event()

    async def storm() -> str:
        nonlocal looks
        looks += 1
        if looks == 20:
            enough.set()
        return str(looks)

    told = Live(storm, CollectorRegistry())
    app = web.Application()
    app.router.add_get("/live", told.stream)
    app.on_shutdown.append(told.stop)
    async with TestServer(app) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/live")) as stream:
        assert await stream.content.readuntil(b"\n\n") == b'data: {"change": "1"}\n\n'
        await enough.wait()
        await told.stop()
        assert await stream.content.read() == b""  # looked at nineteen times more, and told nothing


async def test_one_that_does_not_read_is_told_nothing_more_and_in_the_end_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_PATIENCE_SECONDS", 5.0)
    transport = _Transport()
    request = make_mocked_request("GET", "/live", transport=transport)
    written: list[bytes] = []
    response = web.StreamResponse()
    monkeypatch.setattr(response, "write", _writing(written))
    stream = _Stream(request, response)
    assert await stream.tell(b"1", 100.0)
    transport.waiting = 17
    assert not await stream.tell(b"2", 101.0)
    assert not await stream.tell(b"3", 105.9)
    assert not stream.ended.done()
    transport.waiting = 0
    assert await stream.tell(b"4", 106.0)
    assert written == [b"1", b"4"]  # it has the newest
    transport.waiting = 17
    assert not await stream.tell(b"5", 107.0)
    assert not await stream.tell(b"6", 112.0)
    assert stream.ended.result() is Ended.SLOW


class _Told:
    """Counts what it is told."""

    messages = 0

    async def tell(self, _: bytes, __: float) -> bool:
        self.messages += 1
        return True


class _Transport:
    """A connection whose other side may not read."""

    waiting = 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.waiting


def _writing(written: list[bytes]) -> Callable[[bytes], Awaitable[None]]:
    async def write(data: bytes) -> None:
        written.append(data)

    return write


async def _nothing() -> str:
    return ""
