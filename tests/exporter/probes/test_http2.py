"""The `http` probe over HTTP/2: with a real server of Go's, and with one that breaks the rules."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from deploywatch.demo.processes import Processes
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.support import Tcp, Web, eventually, measured, probe

Answer = Callable[[h2.connection.H2Connection, int, dict[str, str], bytes], Awaitable[None]]


@pytest.fixture
async def go(processes: Processes, certs: Certs, tmp_path: Path) -> AsyncIterator[str]:
    """A server of Go's net/http, which speaks HTTP/2 to whom offers it."""
    issued = certs.authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    pem = str(tmp_path / "server.pem")
    (tmp_path / "web.yml").write_text(json.dumps({"tls_server_config": {"cert_file": pem, "key_file": pem}}))
    program, port = shutil.which("prometheus-blackbox-exporter"), processes.free_port()
    assert program
    (tmp_path / "b.yml").write_text("modules: {a: {prober: http}}")
    command = [program, f"--config.file={tmp_path / 'b.yml'}", f"--web.config.file={tmp_path / 'web.yml'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    child = processes.start("go", command)

    async def listens() -> bool:
        return (await probe(kind="tcp", address=f"127.0.0.1:{port}")).success

    await eventually(listens)
    yield f"https://localhost:{port}"
    await asyncio.to_thread(child.stop)


class Http2Server:
    """A server of HTTP/2 alone, whose answer a coroutine gives."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        headers: dict[str, str] = {}
        body = b""
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.requests.append(headers)
                    self.bodies.append(body)
                    await self.answer(connection, event.stream_id, headers, body)
            writer.write(connection.data_to_send())
            await writer.drain()


async def hello(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
    connection.send_headers(stream, [(":status", "200"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x", "y")])
    connection.send_data(stream, b"hello", end_stream=True)


def serving(certs: Certs) -> ssl.SSLContext:
    context = certs.server("localhost")
    context.set_alpn_protocols(["h2"])
    return context


async def ask(certs: Certs, port: int, path: str = "/", limit: float = 5, **more: Any) -> Result:
    tls = {"ca_file": certs.ca_file}
    url = f"https://localhost:{port}{path}"
    return await probe(limit, kind="http", url=url, tls=tls, enable_http2=True, **more)


async def test_a_server_that_speaks_it_is_asked_so(go: str, certs: Certs) -> None:
    more: dict[str, Any] = {"tls": {"ca_file": certs.ca_file}, "expect": {"body": "[Hh]ealthy"}}
    result = await probe(kind="http", url=f"{go}/-/healthy", enable_http2=True, **more)
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_http_version"] == 2
    assert values["probe_http_content_length"] == values["probe_http_uncompressed_body_length"] > 0
    assert values["probe_http_duration_seconds{phase=processing}"] > 0
    result = await probe(kind="http", url=f"{go}/-/healthy", **more)
    assert measured(result)["probe_http_version"] == 1.1, "who does not offer it gets HTTP/1.1"
    result = await probe(kind="http", url=f"{go}/probe", enable_http2=True, tls={"ca_file": certs.ca_file})
    assert (result.reason, result.detail) == (Reason.STATUS, "status 400, not 2xx")


async def test_a_server_that_does_not_speak_it_is_asked_as_before(certs: Certs) -> None:
    async with Web(tls=certs.server("localhost")) as web:
        web.say("/", "hello")
        result = await ask(certs, web.port)
    assert measured(result)["probe_http_version"] == 1.1


async def test_the_version_may_be_expected(go: str, certs: Certs) -> None:
    more: dict[str, Any] = {"tls": {"ca_file": certs.ca_file}, "expect": {"http_version": ["2"]}}
    assert (await probe(kind="http", url=f"{go}/-/healthy", enable_http2=True, **more)).success
    result = await probe(kind="http", url=f"{go}/-/healthy", **more)
    assert (result.reason, result.detail) == (Reason.PROTOCOL, "the answer is HTTP/1.1, not 2")


async def test_headers_and_body_go_there_and_come_back(certs: Certs) -> None:
    server = Http2Server(hello)
    async with Tcp(server, tls=serving(certs)) as port:
        sent: dict[str, Any] = {"method": "POST", "headers": {"Host": "localhost", "X-A": " b "}, "body": "x" * 300_000}
        result = await ask(certs, port, "/a%2Fb?c=d", **sent, expect={"body": "hello", "headers": {"X": "y"}})
    assert result.success, result.detail
    headers = server.requests[0]
    assert headers[":path"] == "/a%2Fb?c=d"
    assert (headers[":authority"], headers["x-a"], headers["content-length"]) == ("localhost", "b", "300000")
    assert server.bodies[0] == b"x" * 300_000, "more than the server's window"


async def test_a_long_body_is_read_to_its_limit(certs: Certs) -> None:
    async def long(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        connection.send_headers(stream, [(":status", "200")])
        for _ in range(60):
            connection.send_data(stream, b"x" * 1000)
        connection.end_stream(stream)

    async with Tcp(Http2Server(long), tls=serving(certs)) as port:
        whole = await ask(certs, port, expect={"body": "x"})
        assert measured(whole)["probe_http_uncompressed_body_length"] == 60_000
        result = await ask(certs, port, max_body="10kB", expect={"body": "x"})
        assert result.reason is Reason.TOO_LARGE
        assert (await ask(certs, port, max_body="10kB")).success
        assert (await ask(certs, port, max_body="10kB", expect={"whole_body": True})).reason is Reason.TOO_LARGE


async def test_head_has_no_body(certs: Certs) -> None:
    async def head(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-length", "5")], end_stream=True)

    async with Tcp(Http2Server(head), tls=serving(certs)) as port:
        result = await ask(certs, port, method="HEAD")
    assert result.success, result.detail
    assert measured(result)["probe_http_content_length"] == 5


async def test_what_breaks_the_connection_off_is_told(certs: Certs) -> None:
    async def reset(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        connection.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)

    async def away(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)

    for answer, word in ((reset, "REFUSED_STREAM"), (away, "ENHANCE_YOUR_CALM")):
        async with Tcp(Http2Server(answer), tls=serving(certs)) as port:
            result = await ask(certs, port)
        assert result.reason is Reason.RESET
        assert word in result.detail


@pytest.mark.parametrize("data", [b"nonsense, and more of it than a frame's head", b""])
async def test_what_is_no_http2_is_told(certs: Certs, data: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(24)
        writer.write(data)
        writer.close()

    async with Tcp(talk, tls=serving(certs)) as port:
        result = await ask(certs, port)
    assert result.reason is (Reason.PROTOCOL if data else Reason.RESET), result.detail


async def test_a_server_that_is_silent_is_the_deadline(certs: Certs) -> None:
    async def never(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        await asyncio.sleep(0)

    async with Tcp(Http2Server(never), tls=serving(certs)) as port:
        result = await ask(certs, port, limit=0.7)
    assert result.reason is Reason.DEADLINE
    assert "processing" in result.detail


async def test_cookies_and_redirects_work_as_over_http1(certs: Certs) -> None:
    async def once(connection: h2.connection.H2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        if "a=1" in headers.get("cookie", ""):
            await hello(connection, stream, headers, body)
            return
        there = [(":status", "302"), ("location", "/there"), ("set-cookie", "a=1")]
        connection.send_headers(stream, there, end_stream=True)

    async with Tcp(Http2Server(once), tls=serving(certs)) as port:
        result = await ask(certs, port)
    assert result.success, result.detail
    assert measured(result)["probe_http_redirects"] == 1
