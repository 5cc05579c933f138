"""The `http` probe against real local servers, well-behaved and not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web as aiohttp_web

from deploywatch.exporter.results import Reason
from tests.exporter.support import Talk, Web, cut, measured, probe, saying, silent, trickling

Start = Callable[[Talk], Awaitable[int]]


async def test_a_good_answer_is_a_success_with_its_phases(web: Web) -> None:
    url = web.say("/", "hello", headers={"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"})
    result = await probe(kind="http", url=url)
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_http_status_code"] == 200
    assert values["probe_http_version"] == 1.1
    assert values["probe_http_content_length"] == 5
    assert values["probe_http_uncompressed_body_length"] == 5
    assert values["probe_http_redirects"] == 0
    assert values["probe_http_ssl"] == 0
    assert values["probe_ip_protocol"] == 4
    assert values["probe_http_last_modified_timestamp_seconds"] == 1445412480
    phases = {phase: values[f"probe_http_duration_seconds{{phase={phase}}}"] for phase in ("connect", "processing")}
    assert all(0 < seconds < 5 for seconds in phases.values())
    assert values["probe_http_duration_seconds{phase=tls}"] == 0
    assert values["probe_dns_lookup_time_seconds"] >= 0
    assert result.duration >= sum(phases.values())


async def test_every_run_makes_a_connection_of_its_own(web: Web) -> None:
    url = web.say("/")
    for _ in range(2):
        await probe(kind="http", url=url)
    assert len(set(web.callers)) == 2


async def test_the_request_is_sent_as_configured(web: Web) -> None:
    url = web.say("/hook") + "?a=1&b=%20"
    await probe(kind="http", url=url, method="POST", body="ping", headers={"X-Team": "shop"})
    request = web.requests[0]
    assert (request.method, request.path_qs, web.bodies[0]) == ("POST", "/hook?a=1&b=%20", b"ping")
    assert request.headers["X-Team"] == "shop"
    assert request.headers["User-Agent"].startswith("deploywatch/")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"username": "ann", "password": "secret"}, "Basic " + base64.b64encode(b"ann:secret").decode()),
        ({"bearer_token": "t0ken"}, "Bearer t0ken"),
        ({}, None),
    ],
)
async def test_credentials_are_sent(web: Web, settings: dict[str, Any], expected: str | None) -> None:
    await probe(kind="http", url=web.say("/"), **settings)
    assert web.requests[0].headers.get("Authorization") == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"username": "ann", "password_file": "hush"}, "Basic " + base64.b64encode(b"ann:secret").decode()),
        ({"bearer_token_file": "hush"}, "Bearer secret"),
    ],
)
async def test_credentials_may_come_from_files(
    web: Web, tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    (tmp_path / "hush").write_text("secret\n")
    await probe(
        kind="http", url=web.say("/"), **{k: v.replace("hush", f"{tmp_path}/hush") for k, v in settings.items()}
    )
    assert web.requests[0].headers["Authorization"] == expected


async def test_credentials_in_the_url_are_sent_as_basic_auth(web: Web) -> None:
    url = web.say("/").replace("http://", "http://ann:s%40fe@")
    await probe(kind="http", url=url)
    expected = "Basic " + base64.b64encode(b"ann:s@fe").decode()
    assert web.requests[0].headers["Authorization"] == expected


async def test_another_status_than_expected_is_the_reason(web: Web) -> None:
    result = await probe(kind="http", url=web.say("/", status=503))
    assert (result.reason, result.detail) == (Reason.STATUS, "status 503, not 2xx")
    assert measured(result)["probe_http_status_code"] == 503


async def test_a_status_can_be_expected_that_is_not_2xx(web: Web) -> None:
    assert (await probe(kind="http", url=web.say("/", status=401), expect={"status": [401, "3xx"]})).success


async def test_a_slow_answer_fails_its_latency_bound(web: Web) -> None:
    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        await asyncio.sleep(0.06)
        return aiohttp_web.Response()

    result = await probe(kind="http", url=web.on("/", slow), expect={"within": "50ms"})
    assert result.reason is Reason.LATENCY
    assert "more than 50 ms" in result.detail


async def test_a_body_that_does_not_match_is_the_reason(web: Web) -> None:
    url = web.say("/", "all is lost")
    result = await probe(kind="http", url=url, expect={"body": "all is (well|fine)"})
    assert result.reason is Reason.BODY
    assert measured(result)["probe_failed_due_to_regex"] == 1
    good = await probe(kind="http", url=url, expect={"body": "lost$"})
    assert good.success
    assert measured(good)["probe_failed_due_to_regex"] == 0


async def test_redirects_are_followed_and_counted(web: Web) -> None:
    web.say("/new", "here")
    url = web.say("/old", status=302, headers={"Location": "/new"})
    result = await probe(kind="http", url=url)
    assert result.success
    assert measured(result)["probe_http_redirects"] == 1


async def test_without_redirects_the_redirect_is_the_answer(web: Web) -> None:
    url = web.say("/old", status=301, headers={"Location": "/new"})
    result = await probe(kind="http", url=url, redirects=0, expect={"status": [301]})
    assert result.success


async def test_a_circle_of_redirects_ends(web: Web) -> None:
    url = web.say("/round", status=302, headers={"Location": "/round"})
    result = await probe(kind="http", url=url, redirects=3)
    assert (result.reason, result.detail) == (Reason.REDIRECT, "more than 3 redirects")
    assert len(web.requests) == 4


async def test_a_redirect_to_no_http_url_is_refused(web: Web) -> None:
    url = web.say("/", status=302, headers={"Location": "file:///etc/passwd"})
    assert (await probe(kind="http", url=url)).reason is Reason.REDIRECT


async def test_credentials_do_not_follow_to_another_origin(web: Web) -> None:
    async with Web() as other:
        target = other.say("/")
        url = web.say("/", status=302, headers={"Location": target})
        assert (await probe(kind="http", url=url, bearer_token="t0ken", headers={"Cookie": "a=b"})).success
        assert "Authorization" not in other.requests[0].headers
        assert "Cookie" not in other.requests[0].headers
        assert other.requests[0].headers["Host"] in target


async def test_a_refused_connection_is_the_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = await probe(kind="http", url=f"http://127.0.0.1:{port}/")
    assert result.reason is Reason.CONNECT_REFUSED
    assert measured(result)["probe_http_status_code"] == 0


async def test_a_name_without_address_is_the_reason() -> None:
    assert (await probe(kind="http", url="http://no-such-host.invalid/")).reason is Reason.DNS


async def test_a_server_that_never_answers_is_cut_at_the_deadline(tcp: Start) -> None:
    result, _ = await cut("processing", kind="http", url=f"http://127.0.0.1:{await tcp(silent)}/")
    assert result.reason is Reason.DEADLINE
    assert "processing" in result.detail
    assert result.duration >= 0.2
    assert measured(result)["probe_http_duration_seconds{phase=processing}"] > 0


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
    ],
    ids=["length", "no end", "headers"],
)
async def test_a_trickling_server_is_cut_at_the_deadline(tcp: Start, head: bytes) -> None:
    result, _ = await cut("at: (?!connect)", kind="http", url=f"http://127.0.0.1:{await tcp(trickling(head))}/")
    assert result.reason is Reason.DEADLINE


async def test_trickling_nonsense_is_known_for_what_it_is_at_once(tcp: Start) -> None:
    result = await probe(kind="http", url=f"http://127.0.0.1:{await tcp(trickling(b''))}/")
    assert result.reason is Reason.PROTOCOL
    assert result.duration < 30


async def test_of_100_megabytes_no_more_is_read_than_the_limit(tcp: Start) -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    result = await probe(kind="http", url=f"http://127.0.0.1:{await tcp(talk)}/")
    assert result.success, result.detail
    assert measured(result)["probe_http_content_length"] == 100_000_000
    assert measured(result)["probe_http_uncompressed_body_length"] < 1_200_000
    assert sent < 50_000_000


async def test_a_body_without_end_is_read_up_to_the_limit(tcp: Start) -> None:
    port = await tcp(trickling(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536))
    result = await probe(kind="http", url=f"http://127.0.0.1:{port}/", max_body="100kB")
    assert result.success, "what the body says was not asked"
    assert 100_000 < measured(result)["probe_http_uncompressed_body_length"] < 400_000


async def test_a_body_that_is_too_large_to_be_judged_is_the_reason(web: Web) -> None:
    result = await probe(
        kind="http", url=web.say("/", "[" + "1," * 60_000), max_body="100kB", expect={"format": "json"}
    )
    assert result.reason is Reason.TOO_LARGE


async def test_a_reset_connection_is_the_reason(tcp: Start) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()

    assert (await probe(kind="http", url=f"http://127.0.0.1:{await tcp(reset)}/")).reason is Reason.RESET


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", Reason.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n", Reason.PROTOCOL),
    ],
)
async def test_an_answer_that_is_broken_says_how(tcp: Start, answer: bytes, reason: Reason) -> None:
    result = await probe(kind="http", url=f"http://127.0.0.1:{await tcp(saying(answer))}/")
    assert result.reason is reason, result.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more that belongs to nobody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: late\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=[
        "chunked",
        "length",
        "until closed",
        "chunks beside a length",
        "more than announced",
        "trailers",
        "after an informational answer",
    ],
)
async def test_a_body_is_read_however_it_is_framed(tcp: Start, answer: bytes) -> None:
    port = await tcp(saying(answer))
    result = await probe(kind="http", url=f"http://127.0.0.1:{port}/", expect={"body": "^hello$"})
    assert result.success, result.detail


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_that_never_has_a_body_is_not_waited_for(tcp: Start, status: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 100\r\n\r\n")
        await silent(reader, writer)

    result = await probe(kind="http", url=f"http://127.0.0.1:{await tcp(talk)}/", expect={"status": ["2xx", 304]})
    assert result.success, result.detail


async def test_a_head_request_has_no_body(web: Web) -> None:
    result = await probe(kind="http", url=web.say("/", "hello"), method="HEAD")
    assert result.success, result.detail
    assert measured(result)["probe_http_uncompressed_body_length"] == 0


async def test_the_response_time_that_the_service_reports_stands_beside_ours(web: Web) -> None:
    result = await probe(kind="http", url=web.say("/", headers={"X-Response-Time": "12.5ms"}))
    assert measured(result)["probe_http_served_response_time_seconds"] == pytest.approx(0.0125)


def _has(host: str) -> bool:
    """Whether this machine has an address."""
    with socket.socket(socket.AF_INET6) as sock, contextlib.suppress(OSError):
        sock.bind((host, 0))
        return True
    return False


LOOPBACKS = [("127.0.0.1", 4), *([("::1", 6)] if socket.has_ipv6 and _has("::1") else [])]


@pytest.mark.parametrize(("host", "version"), LOOPBACKS)
async def test_a_server_is_probed_over_the_ip_version_that_is_asked_for(host: str, version: int) -> None:
    async with Web(host=host) as server:
        settings: dict[str, Any] = {"kind": "http", "url": server.say("/"), "ip_protocol_fallback": False}
        good = await probe(preferred_ip_protocol=f"ip{version}", **settings)
        other = await probe(preferred_ip_protocol=f"ip{10 - version}", **settings)
    assert good.success, good.detail
    assert measured(good)["probe_ip_protocol"] == version
    assert (other.reason, other.detail) == (Reason.DNS, f"{host} has no IPv{10 - version} address")


async def test_a_free_name_of_the_machine_is_resolved(web: Web) -> None:
    result = await probe(kind="http", url=web.say("/").replace("127.0.0.1", "localhost"), preferred_ip_protocol="ip4")
    assert result.success, result.detail


class TestTls:
    """Over TLS."""

    async def test_a_trusted_certificate_is_a_success_with_its_expiry(self) -> None:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with authority.cert_pem.tempfile() as ca_file:
            async with Web(tls=context) as server:
                result = await probe(kind="http", url=server.say("/"), tls={"ca_file": ca_file})
        assert result.success, result.detail
        values = measured(result)
        assert values["probe_http_ssl"] == 1
        assert values["probe_ssl_earliest_cert_expiry"] > result.started
        assert values["probe_http_duration_seconds{phase=tls}"] > 0
        assert "probe_tls_version_info{version=TLS 1.3}" in values

    async def test_an_unknown_authority_is_the_reason(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        async with Web(tls=context) as server:
            url = server.say("/")
            refused = await probe(kind="http", url=url)
            accepted = await probe(kind="http", url=url, tls={"verify": False})
        assert refused.reason is Reason.TLS_VERIFY
        assert accepted.success, accepted.detail

    async def test_a_certificate_for_another_host_is_the_reason(self) -> None:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("shop.example").configure_cert(context)
        with authority.cert_pem.tempfile() as ca_file:
            async with Web(tls=context) as server:
                url = server.say("/")
                wrong = await probe(kind="http", url=url, tls={"ca_file": ca_file})
                named = await probe(kind="http", url=url, tls={"ca_file": ca_file, "server_name": "shop.example"})
        assert wrong.reason is Reason.TLS_VERIFY
        assert named.success, named.detail

    async def test_a_server_without_tls_is_the_reason(self, web: Web) -> None:
        result = await probe(kind="http", url=web.say("/").replace("http:", "https:"))
        assert result.reason is Reason.TLS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", Reason.RESET),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n", Reason.PROTOCOL),
    ],
)
async def test_of_a_body_that_is_broken_off_the_head_is_shown(
    tcp: Callable[[Talk], Awaitable[int]], answer: bytes, reason: Reason
) -> None:
    url = f"http://127.0.0.1:{await tcp(saying(answer))}/"
    result = await probe(kind="http", url=url)
    values = measured(result)
    assert (result.reason, values["probe_http_status_code"]) == (reason, 200)
    assert values["probe_http_uncompressed_body_length"] == 2
    assert values["probe_failed_due_to_regex"] == 0
    step = {"name": "s", "url": url}
    assert measured(await probe(kind="flow", steps=[step]))["probe_step_http_status_code{step=s}"] == 200


async def test_of_a_body_that_never_ends_the_head_is_shown(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n"
    result, _ = await cut("transfer", kind="http", url=f"http://127.0.0.1:{await tcp(trickling(head))}/")
    assert (result.reason, measured(result)["probe_http_status_code"]) == (Reason.DEADLINE, 503)
