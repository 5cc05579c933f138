"""What streams cost those who send webhooks is bounded: told in turns, and no more often than so many can be told."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from prometheus_client import CollectorRegistry

from deploywatch.pages import live
from deploywatch.pages.live import Live, _Stream


async def test_streams_are_told_one_by_one_with_a_pause_in_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_PAUSE_SECONDS", 3600)
    monkeypatch.setattr(live, "SPREAD_SECONDS", 360_000)
    told = Live(_nothing, CollectorRegistry())
    told._streams = {_Stream(make_mocked_request("GET", "/live")) for _ in range(50)}
    publishing = asyncio.create_task(told._publish({"change": "1"}))
    for _ in range(100):
        await asyncio.sleep(0)
    assert sum(stream.wake.is_set() for stream in told._streams) == 1
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


async def _nothing() -> str:
    return ""
