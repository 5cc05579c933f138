"""Modules as people write them in blackbox.yml: each loads as it is, and measures what blackbox_exporter measures."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web as aiohttp_web

from deploywatch.demo.processes import Processes
from deploywatch.exporter.results import Reason
from tests.exporter.dns_server import dns_server
from tests.exporter.grpc_server import grpc_server
from tests.exporter.http.parity import (
    OTHERWISE_TOO_LARGE,
    OTHERWISE_UNTRUSTED,
    OURS_ALONE_UNTRUSTED,
    THEIRS_ALONE_UNANSWERED,
    THEIRS_ALONE_UNANSWERED_DNS,
    THEIRS_ALONE_WITHOUT_TLS,
    Both,
    both_running,
    compare,
)
from tests.exporter.proxy_server import Proxy
from tests.exporter.support import Talk, Tcp, Web, probe, scripted, upgrading

Start = Callable[[Talk], Awaitable[int]]
Run = Callable[..., Awaitable[Both]]
Asked = dict[tuple[str, frozenset[tuple[str, str]]], float]

SUCCESS = ("probe_success", frozenset[tuple[str, str]]())


@pytest.fixture
async def run(processes: Processes, tmp_path: Path) -> AsyncIterator[Run]:
    """Both exporters with one module, `m`."""
    running: list[Any] = []

    async def start(module: Mapping[str, Any], targets: list[str] | None = None) -> Both:
        context = both_running(processes, tmp_path, {"m": module}, {"m": targets} if targets else None)
        running.append(context)
        return await context.__aenter__()

    yield start
    for context in running:
        await context.__aexit__(None, None, None)


def http(**settings: Any) -> dict[str, Any]:
    return {"prober": "http", "timeout": "5s", "http": {"preferred_ip_protocol": "ip4", **settings}}


async def serve(web: Web) -> None:
    """Pages with every answer that the shapes are about."""

    async def two_cookies(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        response = aiohttp_web.Response(text="cookies")
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    async def echo(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        text = f"{request.method} {request.headers.get('Authorization', '')} {request.headers.get('Host')} "
        return aiohttp_web.Response(text=text + web.bodies[-1].decode() + str(request.headers.get("X-A")))

    web.on("/cookies", two_cookies)
    web.on("/echo", echo)
    web.say("/well", "all is well", headers={"X-State": "well", "Access-Control-Allow-Origin": "example.com"})
    web.say("/lost", "all is lost", headers={"X-State": "lost"})
    web.say("/long", "x" * 20_000)
    web.say("/redirect", status=301, headers={"Location": "/well"})


SHAPES: Mapping[str, tuple[dict[str, Any], dict[str, bool]]] = {
    "no section": ({"prober": "http"}, {"/well": True, "/nothing": False}),
    "statuses": (http(valid_status_codes=[200, 404]), {"/well": True, "/nothing": True, "/redirect": True}),
    "no statuses": (http(valid_status_codes=[]), {"/well": True, "/nothing": False}),
    "versions": (http(valid_http_versions=["HTTP/1.1", "HTTP/2.0"]), {"/well": True}),
    "another version": (http(valid_http_versions=["HTTP/1.0"]), {"/well": False}),
    "HEAD": (http(method="HEAD"), {"/well": True, "/long": True}),
    "POST": (
        http(method="POST", body='{"a": 1}', headers={"Content-Type": "application/json"}),
        {"/echo": True, "/well": True},
    ),
    "what a POST says": (
        http(method="POST", body="hello", fail_if_body_not_matches_regexp=["^POST .* hello"]),
        {"/echo": True},
    ),
    "a Host": (
        http(headers={"Host": "vhost.example.com", "Origin": "example.com"}, fail_if_body_not_matches_regexp=["vhost"]),
        {"/echo": True},
    ),
    "bodies that must not match": (
        http(fail_if_body_matches_regexp=["lost", "gone"]),
        {"/well": True, "/lost": False, "/nothing": False},
    ),
    "bodies that must match": (
        http(fail_if_body_not_matches_regexp=["all", "well"]),
        {"/well": True, "/lost": False, "/nothing": False},
    ),
    "headers that must not match": (
        http(fail_if_header_matches=[{"header": "X-State", "regexp": "lost"}]),
        {"/well": True, "/lost": False, "/long": False},
    ),
    "headers that may be missing": (
        http(fail_if_header_matches=[{"header": "Set-Cookie", "regexp": ".*", "allow_missing": True}]),
        {"/well": True, "/cookies": False},
    ),
    "one of the values": (
        http(fail_if_header_not_matches=[{"header": "Set-Cookie", "regexp": "^b="}]),
        {"/cookies": True, "/well": False},
    ),
    "headers that must match": (
        http(fail_if_header_not_matches=[{"header": "Access-Control-Allow-Origin", "regexp": r"(\*|example\.com)"}]),
        {"/well": True, "/lost": False},
    ),
    "no TLS": (http(fail_if_ssl=True), {"/well": True}),
    "TLS": (http(fail_if_not_ssl=True), {"/well": False, "/nothing": False}),
    "redirects": (http(follow_redirects=True), {"/redirect": True}),
    "redirects of old": (http(no_follow_redirects=False), {"/redirect": True}),
    "a limit of the body": (http(body_size_limit="10KB"), {"/well": True, "/long": False}),
    "a roomy limit": (http(body_size_limit="1MB"), {"/long": True}),
    "IPv4 alone": (http(ip_protocol_fallback=False), {"/well": True}),
}
"""Each with what it is asked for, and whether that is good."""


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_http_module(run: Run, web: Web, shape: str) -> None:
    module, pages = SHAPES[shape]
    await serve(web)
    both = await run(module)
    for page, good in pages.items():
        theirs, ours = await both.ask(f"{web.url}{page}", "m")
        compare(theirs, ours, otherwise=OTHERWISE_TOO_LARGE if shape == "a limit of the body" and not good else ())
        assert ours[SUCCESS] == good, page


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"basic_auth": {"username": "ann", "password": "hush"}}, "Basic YW5uOmh1c2g="),
        ({"bearer_token": "hush"}, "Bearer hush"),
        ({"authorization": {"credentials": "hush"}}, "Bearer hush"),
        ({"authorization": {"type": "Token", "credentials": "hush"}}, "Token hush"),
        ({"headers": {"Authorization": "Some hush"}}, "Some hush"),
    ],
)
async def test_a_module_with_credentials(run: Run, web: Web, settings: dict[str, Any], text: str) -> None:
    await serve(web)
    both = await run(http(**settings, fail_if_body_not_matches_regexp=[text]), [web.url])
    theirs, ours = await both.ask(f"{web.url}/echo", "m")
    compare(theirs, ours)
    assert ours[SUCCESS] == 1


async def test_a_module_with_oauth2(run: Run, web: Web) -> None:
    await serve(web)
    web.say("/token", '{"access_token": "t0", "token_type": "bearer", "expires_in": 60}')
    web.requests.clear()
    oauth2 = {
        "client_id": "me",
        "client_secret": "hush",
        "token_url": f"{web.url}/token",
        "scopes": ["a"],
        "endpoint_params": {"grant_type": "client_credentials"},
    }

    async def token(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        return aiohttp_web.json_response({"access_token": "t0", "token_type": "bearer", "expires_in": 60})

    web.on("/token", token)
    both = await run(http(oauth2=oauth2, fail_if_body_not_matches_regexp=["Bearer t0"]), [web.url])
    theirs, ours = await both.ask(f"{web.url}/echo", "m")
    compare(theirs, ours)
    assert ours[SUCCESS] == 1


@pytest.mark.parametrize("skip", [True, False])
async def test_a_module_with_a_proxy(run: Run, web: Web, skip: bool) -> None:
    await serve(web)
    asked = Proxy()
    async with Tcp(asked) as port:
        both = await run(http(proxy_url=f"http://127.0.0.1:{port}", skip_resolve_phase_with_proxy=skip))
        theirs, ours = await both.ask(f"http://127.0.0.1:{web.port}/well", "m")
    compare(
        theirs, ours, more={"probe_ip_protocol", "probe_ip_addr_hash", "probe_dns_lookup_time_seconds"} if skip else ()
    )
    assert ours[SUCCESS] == 1
    assert len(asked.asked) == 2
    assert asked.asked[0] == asked.asked[1]


@pytest.mark.parametrize("trusted", [True, False])
async def test_modules_for_tls(run: Run, trusted: bool) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("x.example").configure_cert(context)
    async with Web(tls=context) as web:
        await serve(web)
        both = await run(http(tls_config={"insecure_skip_verify": trusted}, fail_if_not_ssl=True))
        answer = await both.ask(f"{web.url}/well", "m")
    if trusted:
        compare(*answer, less={"probe_ssl_last_chain_expiry_timestamp_seconds"})
    else:
        compare(*answer, more=OURS_ALONE_UNTRUSTED, less=THEIRS_ALONE_UNANSWERED, otherwise=OTHERWISE_UNTRUSTED)
    assert answer[1][SUCCESS] == trusted


def tcp(**settings: Any) -> dict[str, Any]:
    return {"prober": "tcp", "timeout": "3s", "tcp": {"preferred_ip_protocol": "ip4", **settings}}


IRC = [
    {"send": "NICK prober"},
    {"send": "USER prober prober prober :prober"},
    {"expect": "PING :([^ ]+)", "send": "PONG ${1}"},
    {"expect": "^:[^ ]+ 001"},
]
SSH = [{"expect": "^SSH-2.0-"}, {"send": "SSH-2.0-blackbox-ssh-check"}]
POP3 = [{"expect": "^+OK"}]
SMTP = [
    *({"expect": "^220.*"}, {"send": "EHLO prober.example"}, {"expect": "^250.*"}),
    *({"send": "QUIT"}, {"expect": "^221.*"}),
]
IMAP = [{"expect": r"^\* OK.*"}, {"send": "a001 LOGOUT"}, {"expect": "^a001 OK.*"}]
REDIS = [{"send": "PING"}, {"expect": r"^\+PONG"}]
METER = [{"send": "*SRTF\r"}, {"expect": r"^\d{4}\.\d$"}]


@pytest.mark.parametrize(
    ("turns", "says", "good"),
    [
        (IRC, [b"", b"PING :abc\r\n", b":host 001 hello\r\n"], True),
        (SSH, [b"SSH-2.0-OpenSSH_9.2\r\n"], True),
        (SSH, [b"HTTP/1.1 400 no\r\n"], False),
        # As RE2 reads it, `^+OK` is no plus.
        (POP3, [b"+OK ready\r\n"], False),
        (POP3, [b"OK ready\r\n"], True),
        ([{"expect": "nothing"}], [b"a\r\n", b"b\r\n"], False),
        (SMTP, [b"220 mail\r\n", b"250-mail\r\n250 SIZE\r\n", b"221 bye\r\n"], True),
        (IMAP, [b"* OK ready\r\n", b"* BYE\r\na001 OK done\r\n"], True),
        (IMAP, [b"* BYE too many\r\n"], False),
        (REDIS, [b"+PONG\r\n"], True),
        (REDIS, [b"-NOAUTH Authentication required.\r\n"], False),
        (METER, [b"0021.5\r\n"], True),
        (METER, [b"21.5\r"], False),
    ],
)
async def test_a_tcp_dialogue(run: Run, tcp: Start, turns: list[dict[str, Any]], says: list[bytes], good: bool) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.read()

    both = await run({"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4", "query_response": turns}})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in says:
            writer.write(line)
            await writer.drain()
        await leave(reader, writer)

    theirs, ours = await both.ask(f"127.0.0.1:{await tcp(talk)}", "m")
    compare(theirs, ours)
    assert ours[SUCCESS] == good


async def test_tcp_with_tls_at_once_and_later(run: Run) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("x.example").configure_cert(context)
    settings = {"tls": True, "tls_config": {"insecure_skip_verify": True}}
    less = {"probe_ssl_last_chain_expiry_timestamp_seconds"}
    turns = [{"expect": "^220"}, {"send": "STARTTLS\r"}, {"expect": "^220"}, {"starttls": True}]
    both = await run(tcp(**settings))
    async with Tcp(scripted(b"hello\r\n"), tls=context) as port:
        theirs, ours = await both.ask(f"127.0.0.1:{port}", "m")
    compare(theirs, ours, less=less)
    assert ours[SUCCESS] == 1
    both = await run(tcp(query_response=turns, tls_config={"insecure_skip_verify": True}))
    later = scripted(b"220 ready ESMTP\r\n", b"220 go\r\n", then=upgrading(context))
    async with Tcp(later) as port:
        theirs, ours = await both.ask(f"127.0.0.1:{port}", "m")
    compare(theirs, ours, less=less)
    assert ours[SUCCESS] == 1


@pytest.mark.parametrize("settings", [{}, {"payload_size": 100, "ttl": 5}, {"source_ip_address": "127.0.0.1"}])
async def test_icmp(run: Run, settings: dict[str, Any]) -> None:
    here = await probe(kind="icmp", host="127.0.0.1")
    if here.reason is Reason.UNSUPPORTED:
        pytest.skip(f"NOT TESTED HERE: {here.detail}")
    both = await run({"prober": "icmp", "timeout": "3s", "icmp": {"preferred_ip_protocol": "ip4", **settings}})
    theirs, ours = await both.ask("127.0.0.1", "m")
    compare(theirs, ours)
    assert ours[SUCCESS] == 1


def records(**rules: list[str]) -> dict[str, Any]:
    return {"validate_answer_rrs": rules}


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({"query_type": "A"}, True),
        ({"query_type": "A", "transport_protocol": "tcp"}, True),
        ({"query_name": "example.com", "query_type": "SOA"}, True),
        ({"query_name": "example.com"}, True),
        ({"query_name": "mail.example.com", "query_type": "MX"}, True),
        ({"query_name": "nothing.example.com", "query_type": "A"}, False),
        ({"query_name": "nothing.example.com", "query_type": "A", "valid_rcodes": ["NXDOMAIN"]}, True),
        ({"query_type": "A", "recursion_desired": False}, True),
        ({"query_type": "A", **records(fail_if_matches_regexp=[".*192.0.2.1$"])}, False),
        ({"query_type": "A", **records(fail_if_not_matches_regexp=["shop.example.com.\t300\tIN\tA\t192.0.2"])}, True),
        ({"query_type": "A", **records(fail_if_none_matches_regexp=["127.0.0.1"])}, False),
        # The name says otherwise; this is what it does.
        ({"query_type": "A", **records(fail_if_all_match_regexp=["192[.]0[.]2"])}, True),
        ({"query_type": "A", **records(fail_if_all_match_regexp=["192[.]0[.]2[.]1$"])}, False),
        (
            {
                "query_name": "text.example.com",
                "query_type": "TXT",
                **records(fail_if_not_matches_regexp=['\t"v=spf1 -all" "and more"$']),
            },
            True,
        ),
        (
            {
                "query_name": "mail.example.com",
                "query_type": "MX",
                **records(fail_if_not_matches_regexp=["\tMX\t10 shop.example.com.$"]),
            },
            True,
        ),
        (
            {
                "query_name": "six.example.com",
                "query_type": "AAAA",
                **records(fail_if_not_matches_regexp=["\tAAAA\t2001:db8::1$"]),
            },
            True,
        ),
        (
            {
                "query_name": "srv.example.com",
                "query_type": "SRV",
                **records(fail_if_not_matches_regexp=["\tSRV\t1 2 443 shop.example.com.$"]),
            },
            True,
        ),
        (
            {
                "query_name": "example.com",
                "query_type": "SOA",
                **records(
                    fail_if_not_matches_regexp=[
                        "\tSOA\tns1.example.com. hostmaster.example.com. 2026112801 3600 900 604800 300$"
                    ]
                ),
            },
            True,
        ),
    ],
)
async def test_dns(run: Run, settings: dict[str, Any], good: bool) -> None:
    both = await run(
        {
            "prober": "dns",
            "timeout": "3s",
            "dns": {"preferred_ip_protocol": "ip4", "query_name": "shop.example.com", **settings},
        }
    )
    async with dns_server() as server:
        theirs, ours = await both.ask(f"127.0.0.1:{server.port}", "m")
    compare(theirs, ours)
    assert ours[SUCCESS] == good
    theirs_asked, ours_asked = server.asked
    assert str(theirs_asked.question) == str(ours_asked.question)
    assert theirs_asked.flags == ours_asked.flags


async def test_a_dns_server_that_is_not_there(run: Run, processes: Processes) -> None:
    both = await run({"prober": "dns", "dns": {"preferred_ip_protocol": "ip4", "query_name": "x.example"}})
    theirs, ours = await both.ask(f"127.0.0.1:{processes.free_port()}", "m", limit="2")
    compare(theirs, ours, less=THEIRS_ALONE_UNANSWERED_DNS)
    assert ours[SUCCESS] == 0


@pytest.mark.parametrize(
    ("service", "good"), [("", True), ("shop.Checkout", True), ("shop.Broken", False), ("no", False)]
)
async def test_grpc(run: Run, service: str, good: bool) -> None:
    both = await run({"prober": "grpc", "grpc": {"preferred_ip_protocol": "ip4", "service": service}})
    async with grpc_server() as server:
        theirs, ours = await both.ask(f"127.0.0.1:{server.port}", "m")
    compare(theirs, ours, less=THEIRS_ALONE_WITHOUT_TLS)
    assert ours[SUCCESS] == good


@pytest.mark.parametrize("verify", [True, False])
async def test_grpc_over_tls(run: Run, verify: bool) -> None:
    issued = trustme.CA().issue_cert("x.example")
    pair = issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    settings = {"tls": True, "tls_config": {"insecure_skip_verify": not verify}}
    both = await run({"prober": "grpc", "grpc": {"preferred_ip_protocol": "ip4", **settings}})
    async with grpc_server(pair) as server:
        theirs, ours = await both.ask(f"127.0.0.1:{server.port}", "m", limit="3")
    if verify:
        compare(theirs, ours, more=OURS_ALONE_UNTRUSTED, otherwise=OTHERWISE_UNTRUSTED | THEIRS_ALONE_WITHOUT_TLS)
    else:
        compare(theirs, ours)
    assert ours[SUCCESS] == (not verify)
