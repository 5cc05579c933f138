"""Bodies that come in are bounded in size, in time, and all together in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deploywatch.web.bodies import Bodies, TooLargeError, TooMuchError

LIMIT = 1000
Client = TestClient[web.Request, web.Application]
Serve = Callable[[Bodies], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves bodies at /; `?hold` keeps one until it is told at /release."""
    clients: list[Client] = []
    release = asyncio.Event()

    async def start(bodies: Bodies) -> Client:
        async def take(request: web.Request) -> web.Response:
            try:
                async with bodies.read(request, limit=LIMIT) as body:
                    if "hold" in request.query:
                        await release.wait()
                    return web.Response(text=str(len(body)))
            except (TooLargeError, TooMuchError) as error:
                return web.Response(status=503, text=f"{type(error).__name__}: {error}")

        async def let_go(_: web.Request) -> web.Response:
            release.set()
            return web.Response()

        app = web.Application(client_max_size=LIMIT)
        app.router.add_post("/", take)
        app.router.add_post("/release", let_go)
        client: Client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def test_a_body_within_the_limit_is_handed_out(serve: Serve) -> None:
    client = await serve(Bodies())
    async with client.post("/", data=b"x" * LIMIT) as answer:
        assert await answer.text() == str(LIMIT)


async def test_a_body_that_says_it_is_too_large_is_not_read(serve: Serve) -> None:
    client = await serve(Bodies())
    async with client.post("/", data=b"x" * (LIMIT + 1)) as answer:
        assert await answer.text() == "TooLargeError: the body is larger than 1000 bytes"


async def test_a_body_that_turns_out_too_large_is_given_up(serve: Serve) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    client = await serve(Bodies())
    async with client.post("/", data=pieces()) as answer:
        assert "TooLargeError" in await answer.text()


async def test_a_body_that_never_ends_is_given_up_in_time(serve: Serve) -> None:
    never = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    client = await serve(Bodies(seconds=0.2))
    async with client.post("/", data=pieces()) as answer:
        assert await answer.text() == "TooMuchError: the body did not arrive within 0.2 s"


async def test_more_than_fits_together_has_to_come_later(serve: Serve) -> None:
    client = await serve(Bodies(together=1500))
    held = asyncio.create_task(client.post("/?hold", data=b"x" * 900))
    while True:
        async with client.post("/", data=b"x" * 700) as answer:
            if answer.status == 503:
                assert "900 bytes of other bodies are being taken in" in await answer.text()
                break
    await client.post("/release")
    async with await held as first:
        assert await first.text() == "900"
    async with client.post("/", data=b"x" * 700) as answer:
        assert answer.status == 200


async def test_what_is_announced_and_does_not_come_takes_no_room(serve: Serve) -> None:
    never = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    client = await serve(Bodies(together=LIMIT))
    announced = {"Content-Length": str(LIMIT)}
    slow = [asyncio.create_task(client.post("/", data=pieces(), headers=headers)) for headers in ({}, announced)]
    for _ in range(20):
        async with client.post("/", data=b"x" * (LIMIT - 2)) as answer:
            assert answer.status == 200
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
