"""What a server that we ask may do to us: send us on, flood us, answer in pieces, nest without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import aiohttp
import pytest
from aiohttp import web

from deploywatch import responses
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.receiver.actions.rollback.verify import look
from deploywatch.receiver.channels.http_client import HttpClient
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


Serve = Callable[[list[bytes]], Awaitable[str]]


class Raw(Protocol):
    """Starts a server; gives its address."""

    def __call__(self, answer: bytes, *, stay: bool = False) -> Awaitable[str]: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that writes these pieces as JSON to whoever asks, a pause between them; gives its address."""
    runners: list[web.AppRunner] = []

    async def started(pieces: list[bytes]) -> str:
        async def answer(asked: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(asked)
            for piece in pieces:
                with suppress(ConnectionError):
                    await response.write(piece)
                await asyncio.sleep(0.05 if len(pieces) < 10 else 0)
            return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield started
    for runner in runners:
        await runner.cleanup()


async def test_an_answer_without_an_end_is_given_up(serve: Serve) -> None:
    url = await serve([bytes(64 * 1024)] * 100)
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        with pytest.raises(ValueError, match="larger than 1000000 bytes"):
            await responses.read(response, 1_000_000)


async def test_a_start_is_cut_where_it_is_said(serve: Serve) -> None:
    url = await serve([b"ab", b"cd", b"ef"])
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert await responses.read_start(response, 5) == b"abcde"


async def test_a_channel_reads_an_answer_that_comes_in_pieces(serve: Serve) -> None:
    url = await serve([b'{"id": "12', b'34"}'])
    client = HttpClient(url, timedelta(seconds=60), ())
    answer = await client.ask("POST", url, {})
    await client.close()
    assert answer.fields == {"id": "1234"}


@pytest.mark.parametrize("ask", [of_prometheus, of_alertmanager, of_the_command_line])
async def test_endless_nesting_is_an_error_of_ours(serve: Serve, ask: Callable[[str], Awaitable[None]]) -> None:
    with pytest.raises(UnreachableError):
        await ask(await serve([b"[" * 200_000]))


async def test_an_exporter_that_nests_without_an_end_has_given_no_answer(serve: Serve) -> None:
    url = await serve([b'{"status":' * 100_000])
    async with aiohttp.ClientSession() as session:
        health = await look(session, url, "shop", "production", None)
    assert (health.good, health.answered) == (False, False)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 503])
async def test_a_page_of_a_proxy_is_no_answer_of_the_receiver(status: int) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<h1>Sign in</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(UnreachableError, match=f"HTTP {status} with text/html is no answer of a receiver's"):
            await of_the_command_line(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Starts a server that writes these bytes to whoever connects; then it hangs up, or stays."""
    servers: list[asyncio.Server] = []
    over = asyncio.Event()

    async def started(answer: bytes, *, stay: bool = False) -> str:
        async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if stay:
                await over.wait()
            writer.close()

        servers.append(await asyncio.start_server(write, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield started
    over.set()
    for server in servers:
        server.close()
        await server.wait_closed()


async def asked_by_the_command_line(url: str) -> object:
    return await asyncio.to_thread(Client(url).get, "/deployments")


async def test_the_command_line_reads_an_answer_that_comes_in_pieces(serve: Serve) -> None:
    url = await serve([b'[{"id": 12', b"34}]"])
    assert await asked_by_the_command_line(url) == [{"id": 1234}]


async def test_the_command_line_takes_no_answer_that_is_cut_off(raw: Raw) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with pytest.raises(UnreachableError, match="cut off, 97 bytes before its end"):
        await asked_by_the_command_line(await raw(head + b"[1]"))


async def test_the_command_line_takes_no_answer_without_an_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploywatch.receiver.client._ANSWER_LIMIT", 1_000_000)
    url = await serve([b" " * 64 * 1024] * 100)
    with pytest.raises(UnreachableError, match="larger than 1000000 bytes"):
        await asked_by_the_command_line(url)


async def test_the_command_line_waits_for_no_answer_that_comes_too_slowly(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploywatch.receiver.client._SECONDS", 0.2)
    with pytest.raises(UnreachableError, match=r"not within 0.2 s"):
        await asked_by_the_command_line(await raw(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n", stay=True))


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], ids=repr
)
async def test_what_is_no_http_is_said_to_be_no_answer(raw: Raw, answer: bytes) -> None:
    with pytest.raises(UnreachableError, match=r"gave no answer: .+; is --url right"):
        await asked_by_the_command_line(await raw(answer))


@pytest.mark.parametrize(
    "url",
    ["", "localhost:9872", "ftp://host", "http://", "http://host:port", "http://[::1", "http://a\nb"],
)
def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    with pytest.raises(UnreachableError, match="is --url right"):
        Client(url).get("/deployments")


async def test_the_command_line_sends_what_the_url_says() -> None:
    seen: list[web.Request] = []

    async def answer(asked: web.Request) -> web.Response:
        seen.append(asked)
        return web.json_response([])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://ann:love%40lace@127.0.0.1:{runner.addresses[0][1]}/watch/"
    await asyncio.to_thread(Client(url).get, "/deployments", service="a&b ü", limit="5")
    await runner.cleanup()
    assert seen[0].path == "/watch/api/v1/deployments"
    assert dict(seen[0].query) == {"service": "a&b ü", "limit": "5"}
    assert seen[0].headers["Authorization"] == aiohttp.encode_basic_auth("ann", "love@lace")


@pytest.mark.parametrize("place", ["127.0.0.1:1", "127.0.0.1:99999", "127.0.0.1:port", "[::1"])
@pytest.mark.parametrize("password", ["hunter2", "hunter2/w", "hunter2@w"])
def test_a_password_in_the_url_is_not_said(place: str, password: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        Client(f"http://ada:{password}@{place}/").get("/incidents")
    assert "hunter2" not in str(caught.value)
    assert "http://" in str(caught.value)
