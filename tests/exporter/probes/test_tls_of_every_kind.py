"""What TLS tells is the same whatever is spoken over it: old servers, bad certificates, files that are gone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from deploywatch.clock import SystemClock
from deploywatch.exporter.probes import KINDS, AnyProbe
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Reason
from deploywatch.files.watched_files import WATCHED
from tests.exporter.certs import Certs
from tests.exporter.probes.test_tls import old
from tests.exporter.support import Tcp, cut, measured, probe, silent

Tls = dict[str, Any]
SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)

KINDS_OVER_TLS: dict[str, Callable[[str, Tls], dict[str, Any]]] = {
    "http": lambda place, tls: {"url": f"https://{place}/", "tls": tls},
    "flow": lambda place, tls: {"steps": [{"name": "a", "url": f"https://{place}/", "tls": tls}]},
    "tls": lambda place, tls: {"address": place, "tls": tls, "versions": ["TLS 1.0", "TLS 1.3"]},
    "tcp": lambda place, tls: {"address": place, "use_tls": True, "tls": tls},
    "grpc": lambda place, tls: {"address": place, "use_tls": True, "tls": tls},
    "dns": lambda place, tls: {
        "address": place,
        "query_name": "a.example",
        "transport_protocol": "tcp",
        "dns_over_tls": True,
        "tls": tls,
    },
    "redis": lambda place, tls: {"url": f"rediss://{place}", "tls": tls},
    "postgres": lambda place, tls: {"dsn": f"postgresql://ann:x@{place}/shop", "tls": tls},
}
WITHOUT_TLS = {"icmp", "port", "unix"}
"""Of a socket that is a file the same dialogue is held as of `tcp`."""


def test_every_kind_is_here() -> None:
    assert KINDS_OVER_TLS.keys() | WITHOUT_TLS == KINDS.keys()


@asynccontextmanager
async def server(kind: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """A server that begins TLS, as PostgreSQL does where that is probed, and then says goodbye."""

    async def leave(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(context)
        await leave(reader, writer)

    talking = Tcp(postgres) if kind == "postgres" else Tcp(leave, tls=context)
    async with talking as port:
        yield f"localhost:{port}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS_OVER_TLS)
async def test_a_server_of_old_is_told_with_its_expiry_and_spoken_to_when_allowed(certs: Certs, kind: str) -> None:
    async with server(kind, old(certs)) as place:
        result = await probe(kind=kind, **KINDS_OVER_TLS[kind](place, {"ca_file": certs.ca_file}))
        assert result.reason is Reason.TLS, result.detail
        assert "the server speaks TLS 1.0 with TLS_ECDHE_" in result.detail
        assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started
        lax = {"ca_file": certs.ca_file, "min_version": "TLS 1.0"}
        result = await probe(kind=kind, **KINDS_OVER_TLS[kind](place, lax))
    assert result.reason is not Reason.TLS, result.detail
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started


@pytest.mark.parametrize("kind", KINDS_OVER_TLS)
async def test_a_certificate_that_is_not_trusted_is_told_with_its_expiry(certs: Certs, kind: str) -> None:
    bad = {
        "certificate has expired": (certs.expired(), certs.ca_file),
        "no subjectAltName": (certs.without_names(), str(certs.folder / "unnamed.pem")),
    }
    for problem, (context, authority) in bad.items():
        async with server(kind, context) as place:
            result = await probe(kind=kind, **KINDS_OVER_TLS[kind](place, {"ca_file": authority}))
        assert (result.reason, problem in result.detail) == (Reason.TLS_VERIFY, True), result.detail
        assert "probe_ssl_earliest_cert_expiry" in measured(result)


async def test_a_server_that_takes_the_connection_and_says_nothing_is_no_unreachable_one(certs: Certs) -> None:
    async with Tcp(silent) as port:
        tls = {"ca_file": certs.ca_file}
        runs = (
            cut("tls|says nothing", kind=kind, **of(f"localhost:{port}", tls)) for kind, of in KINDS_OVER_TLS.items()
        )
        reasons = [result.reason for result, _ in await asyncio.gather(*runs)]
    assert dict(zip(KINDS_OVER_TLS, reasons, strict=True)) == dict.fromkeys(KINDS_OVER_TLS, Reason.DEADLINE)


@pytest.mark.parametrize("kind", KINDS_OVER_TLS)
async def test_a_server_that_wants_our_certificate_is_not_said_to_speak_another_version(
    certs: Certs, kind: str
) -> None:
    context = certs.server()
    context.maximum_version, context.verify_mode = ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED
    async with server(kind, context) as place:
        result = await probe(kind=kind, **KINDS_OVER_TLS[kind](place, {"ca_file": certs.ca_file}))
    assert result.reason in {Reason.TLS, Reason.RESET}
    assert "speaks" not in result.detail
    assert "probe_ssl_earliest_cert_expiry" in measured(result)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("redis", {"url": "rediss://{place}?ssl_ca_certs={file}"}),
        ("postgres", {"dsn": "postgresql://ann:x@{place}/shop?sslmode=verify-full&sslrootcert={file}"}),
    ],
)
async def test_an_authority_that_a_url_names_may_be_gone_for_a_moment(
    certs: Certs, tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    WATCHED.forget()
    authority, good = tmp_path / "ca.pem", certs.authority.cert_pem.bytes()
    authority.write_bytes(good)
    async with server(kind, certs.server()) as place:
        filled = {name: text.format(place=place, file=authority) for name, text in settings.items()}
        running = SETTINGS.validate_python({"kind": kind, **filled}).probe()
        for change in (lambda: None, authority.unlink, lambda: authority.write_text("")):
            change()
            result = await run(running, limit=60, clock=SystemClock())
            assert result.reason is Reason.RESET, result.detail
            assert "probe_ssl_last_chain_expiry_timestamp_seconds" in measured(result), "it is trusted"
        assert [file.path for file in WATCHED.stale()] == [authority]
        authority.write_bytes(good)
        await run(running, limit=60, clock=SystemClock())
    assert WATCHED.stale() == []


def test_a_file_that_a_redis_url_names_must_be_there_when_the_config_is_read() -> None:
    with pytest.raises(ValueError, match="the files or ciphers that the URL names cannot be used"):
        SETTINGS.validate_python({"kind": "redis", "url": "rediss://x?ssl_ca_certs=/no/ca.pem"})
