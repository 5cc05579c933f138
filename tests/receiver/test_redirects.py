"""No client of ours follows a redirect with its credentials, or takes a sign-in page for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from deploywatch import responses
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.client import Client
from deploywatch.receiver.settings.upstream import Alertmanager
from deploywatch.receiver.upstream import alertmanager

Served = tuple[str, list[dict[str, str]]]


@pytest.fixture(params=[301, 302, 303, 307, 308])
async def stranger(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The address of a server that sends everybody on to another, and the headers that the other has seen."""
    seen: list[dict[str, str]] = []

    async def sign_in(asked: web.Request) -> web.Response:
        seen.append(dict(asked.headers))
        return web.json_response({"status": "success", "data": {"alerts": []}})

    async def send_on(asked: web.Request) -> web.Response:
        return web.Response(status=request.param, headers={"Location": f"{other}{asked.path}"})

    runners = []
    addresses = []
    for handler in (sign_in, send_on):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        addresses.append(f"http://127.0.0.1:{runners[-1].addresses[0][1]}")
    other = addresses[0]
    yield addresses[1], seen
    for runner in runners:
        await runner.cleanup()


async def of_prometheus(url: str) -> None:
    async with aiohttp.ClientSession(headers={"X-Scope-OrgID": "hunter2"}) as session:
        await Prometheus(url, session).alerts()


async def of_alertmanager(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await alertmanager.look(
            session, Alertmanager.model_validate({"url": url, "headers": {"X-Token": "hunter2"}}), "deploywatch"
        )


async def of_the_command_line(url: str) -> None:
    await asyncio.to_thread(Client(url, "hunter2").post, "/deployments", {"service": "shop"})


@pytest.mark.parametrize("ask", [of_prometheus, of_alertmanager, of_the_command_line])
async def test_a_redirect_is_an_error_that_says_where_it_leads(
    stranger: Served, ask: Callable[[str], Awaitable[None]]
) -> None:
    url, seen = stranger
    with pytest.raises(
        UnreachableError, match=r"redirects \(30.\) to http://127.0.0.1:\d+/api/.* not followed"
    ) as told:
        await ask(url)
    assert seen == []
    assert "hunter2" not in str(told.value)


async def test_an_answer_without_an_end_is_given_up() -> None:
    async def flood(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(asked)
        for _ in range(1000):
            await response.write(bytes(64 * 1024))
        return response

    app = web.Application()
    app.router.add_get("/", flood)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response,
        ):
            with pytest.raises(ValueError, match="larger than 1000000 bytes"):
                await responses.read(response, 1_000_000)
    finally:
        await runner.cleanup()
