"""The `unix` probe, and HTTP, on sockets of this machine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploywatch.exporter.results import Reason, Result
from deploywatch.exporter.settings.modules import Module, TargetError
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, measured, probe, scripted, silent

Serve = Callable[..., Awaitable[Path]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Talk on a socket; gives its path."""
    servers: list[Tcp] = []

    async def start(talk: Talk, tls: ssl.SSLContext | None = None) -> Path:
        path = tmp_path / f"s{len(servers)}"
        servers.append(Tcp(talk, tls=tls))
        await servers[-1].start_at(str(path))
        return path

    yield start
    for server in servers:
        await server.stop()


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def talked(path: Path, *turns: dict[str, Any], **more: Any) -> Result:
    return await probe(kind="unix", path=str(path), query_response=list(turns), **more)


async def test_a_dialogue_is_held(serve: Serve) -> None:
    path = await serve(scripted(b"+PONG\r\n"))
    result = await talked(path, {"send": "PING\r"}, {"expect": r"^\+(?P<word>\w+)", "labels": {"said": "$word"}})
    assert result.success, result.detail
    assert measured(result)["probe_expect_info{said=PONG}"] == 1


async def test_what_is_not_said_is_told(serve: Serve) -> None:
    result = await talked(await serve(scripted(b"-ERR\r\n", then=leaving)), {"expect": "PONG"})
    assert result.reason is Reason.BODY
    assert measured(result)["probe_failed_due_to_regex"] == 1


async def test_tls_is_for_the_name_that_is_given(serve: Serve, certs: Certs) -> None:
    path = await serve(silent, tls=certs.server("db.example"))
    good = {"ca_file": certs.ca_file, "server_name": "db.example"}
    assert (await talked(path, use_tls=True, tls=good)).success
    assert (await talked(path, use_tls=True, tls={"ca_file": certs.ca_file})).reason is Reason.TLS_VERIFY


async def test_a_socket_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    result = await talked(tmp_path / "none")
    assert result.reason is Reason.UNREACHABLE
    assert "No such file" in result.detail


async def test_http_goes_over_a_socket(serve: Serve, certs: Certs) -> None:
    path = await serve(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    result = await probe(kind="http", url="http://docker/version", unix_socket=str(path), expect={"body": "hi"})
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_http_status_code"] == 200
    assert "probe_dns_lookup_time_seconds" not in values
    assert "probe_ip_protocol" not in values
    secure = await serve(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls=certs.server("docker"))
    tls = {"ca_file": certs.ca_file}
    assert (await probe(kind="http", url="https://docker/", unix_socket=str(secure), tls=tls)).success


def test_a_module_may_be_pointed_at_its_sockets_only() -> None:
    with pytest.raises(ValidationError, match="any socket of this machine"):
        Module.model_validate({"kind": "unix"})
    module = Module.model_validate({"kind": "unix", "targets": ["/run/a.sock"]})
    assert module.pointed_at("/run/a.sock")
    for other in ("/run/b.sock", "/run/../run/a.sock", "run/a.sock"):
        with pytest.raises(TargetError):
            module.pointed_at(other)


def test_a_path_that_no_socket_can_have_is_told() -> None:
    with pytest.raises(ValidationError, match="longer than 107 bytes"):
        Module.model_validate({"kind": "unix", "path": "/" + "x" * 120, "targets": ["/a"]})
