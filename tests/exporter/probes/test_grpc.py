"""The `grpc` probe against a real gRPC server, and against what is none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.config import redacted
from deploywatch.exporter.net import grpc_health
from deploywatch.exporter.probes.grpc import GrpcSettings
from deploywatch.exporter.results import Failed, Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.grpc_server import NOT_SERVING, GrpcServer, grpc_server
from tests.exporter.support import Talk, Web, measured, probe, saying, silent

Start = Callable[[Talk], Awaitable[int]]
SAYS = "probe_grpc_healthcheck_response{serving_status=%s}"


async def ask(server: GrpcServer, **more: Any) -> Result:
    return await probe(kind="grpc", address=f"127.0.0.1:{server.port}", **more)


async def test_a_server_that_serves_is_a_success() -> None:
    async with grpc_server() as server:
        for service in ("", "shop.Checkout"):
            result = await ask(server, service=service)
            assert result.success, result.detail
            values = measured(result)
            assert values["probe_grpc_status_code"] == 0
            assert values["probe_grpc_ssl"] == 0
            assert [values[SAYS % word] for word in ("SERVING", "NOT_SERVING", "UNKNOWN")] == [1, 0, 0]
            assert values["probe_grpc_duration_seconds{phase=check}"] > 0


async def test_a_service_that_does_not_serve_is_unhealthy() -> None:
    async with grpc_server() as server:
        result = await ask(server, service="shop.Broken")
        assert (result.reason, result.detail) == (Reason.UNHEALTHY, "the server says NOT_SERVING")
        assert measured(result)[SAYS % "NOT_SERVING"] == 1
        await server.health.set("", NOT_SERVING)
        assert (await ask(server)).reason is Reason.UNHEALTHY


async def test_a_service_that_is_not_known_is_the_status_of_the_call() -> None:
    async with grpc_server() as server:
        result = await ask(server, service="shop.Nothing")
    assert result.reason is Reason.STATUS
    assert "NOT_FOUND (5)" in result.detail
    assert measured(result)["probe_grpc_status_code"] == 5
    assert measured(result)[SAYS % "SERVING"] == 0


async def test_a_server_without_the_health_service_says_unimplemented() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        result = await probe(kind="grpc", address=f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
    assert result.reason is Reason.STATUS
    assert "UNIMPLEMENTED (12)" in result.detail


async def test_metadata_is_sent_and_never_shown() -> None:
    async with grpc_server() as server:
        assert (await ask(server, metadata={"Tenant": ["eu-hush"]})).success
    assert server.metadata[0]["tenant"] == "eu-hush"
    settings = GrpcSettings.model_validate({"kind": "grpc", "address": "x:1", "metadata": {"tenant": ["eu-hush"]}})
    assert "eu-hush" not in str(redacted(settings))


async def test_over_tls_the_certificate_is_checked_and_told(certs: Certs) -> None:
    issued = certs.authority.issue_cert("127.0.0.1", "localhost")
    pair = issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    async with grpc_server(pair) as server:
        result = await ask(server, use_tls=True, tls={"ca_file": certs.ca_file})
        assert result.success, result.detail
        values = measured(result)
        assert values["probe_grpc_ssl"] == 1
        assert "probe_ssl_earliest_cert_expiry" in values
        result = await ask(server, use_tls=True)
        assert result.reason is Reason.TLS_VERIFY
        assert measured(result)["probe_grpc_status_code"] == 14
        assert not (await ask(server)).success, "without TLS"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 ready\r\n", b""])
async def test_a_server_of_another_protocol_is_told(tcp: Start, answer: bytes) -> None:
    result = await probe(kind="grpc", address=f"127.0.0.1:{await tcp(saying(answer))}")
    assert result.reason in {Reason.PROTOCOL, Reason.RESET}
    assert measured(result)["probe_grpc_status_code"] == 14


async def test_a_web_server_is_none(web: Web) -> None:
    assert (await probe(kind="grpc", address=f"127.0.0.1:{web.port}")).reason in {Reason.PROTOCOL, Reason.RESET}


async def test_what_is_no_http2_is_told_with_its_first_line(tcp: Start) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Too many connections\r\n\r\n")

    result = await probe(kind="grpc", address=f"127.0.0.1:{await tcp(talk)}")
    assert (result.reason, "HTTP/1.1 503 Too many connections" in result.detail) == (Reason.PROTOCOL, True)


async def test_a_server_that_is_silent_or_not_there_is_the_reason(tcp: Start) -> None:
    result = await probe(0.3, kind="grpc", address=f"127.0.0.1:{await tcp(silent)}")
    assert result.reason in {Reason.DEADLINE, Reason.CONNECT_TIMEOUT}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await probe(kind="grpc", address=f"127.0.0.1:{unused.getsockname()[1]}")
    assert result.reason is Reason.CONNECT_REFUSED


@pytest.mark.parametrize("address", ["http://x.example:1", "https://x.example:1/", "x.example", "[::1]:5"])
def test_addresses_are_read_as_blackboxs_users_write_them(address: str) -> None:
    assert GrpcSettings.model_validate({"kind": "grpc", "address": address}).place.host in {"x.example", "::1"}


@pytest.mark.parametrize(
    "more", [{"address": "a b"}, {"metadata": {"grpc-timeout": ["1S"]}}, {"metadata": {"x-bin": ["1"]}}]
)
async def test_a_fault_of_the_settings_is_told(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"is not the address|is gRPC's own"):
        await probe(**{"kind": "grpc", "address": "127.0.0.1:1", **more})


@given(st.binary(max_size=60))
def test_no_message_breaks_the_reader(message: bytes) -> None:
    with contextlib.suppress(Failed):
        word = grpc_health._serving(b"\0" + len(message).to_bytes(4, "big") + message)
        assert word in grpc_health.SERVING_STATUSES or word.isdigit()
