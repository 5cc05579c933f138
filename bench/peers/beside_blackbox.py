"""Situations beside blackbox_exporter: HTTP, TLS and TCP as the world speaks them."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from aiohttp import web as aiohttp_web

from bench.peers.pair import Pair
from bench.peers.scene import Scene
from bench.peers.situation import fails, remarks, situation, well
from deploywatch.exporter.results import Reason
from tests.exporter.support import Talk, saying, scripted, silent, upgrading

beside = partial(situation, "blackbox_exporter")
EXPIRY = "probe_ssl_earliest_cert_expiry"
STATUS = "probe_http_status_code"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def raw(answers: dict[bytes, bytes], seen: list[bytes]) -> Talk:
    """A server that answers by the bytes of the path that is asked for, and notes them."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        writer.write(answers.get(seen[-1], OK))
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


async def asked(scene: Scene, data: bytes, **more: Any) -> Pair:
    """Both ask a server that answers with these bytes."""
    return await scene.http(f"http://127.0.0.1:{await scene.tcp(saying(data))}/", **more)


def trusting(scene: Scene, **more: Any) -> dict[str, Any]:
    """TLS settings that trust the scene's authority."""
    return {"ca_file": scene.certs.ca_file, **more}


@beside("a page that answers", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    return await scene.http((await scene.web()).say("/"), shown=(STATUS,))


@beside("a page that answers 503", fails(Reason.STATUS, "503"))
async def _(scene: Scene) -> Pair:
    return await scene.http((await scene.web()).say("/", status=503), shown=(STATUS,))


@beside("nobody listens", fails(Reason.CONNECT_REFUSED))
async def _(scene: Scene) -> Pair:
    return await scene.http(f"http://127.0.0.1:{scene.processes.free_port()}/")


@beside("the name does not resolve", fails(Reason.DNS))
async def _(scene: Scene) -> Pair:
    return await scene.http("http://no-such-name.invalid/")


@beside("the server takes no more connections: its queue is full", fails(Reason.CONNECT_TIMEOUT))
async def _(scene: Scene) -> Pair:
    full = scene.stack.enter_context(socket.socket())
    full.bind(("127.0.0.1", 0))
    # Linux takes one more than the backlog; what comes after waits without an answer.
    full.listen(0)
    for _ in range(3):
        waiting = scene.stack.enter_context(socket.socket())
        waiting.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            waiting.connect(full.getsockname())
    await asyncio.sleep(0.2)
    return await scene.http(f"http://127.0.0.1:{full.getsockname()[1]}/")


@beside("the server takes the connection and says nothing", fails(Reason.DEADLINE, "processing"))
async def _(scene: Scene) -> Pair:
    return await scene.http(f"http://127.0.0.1:{await scene.tcp(silent)}/")


@beside("the answer stops in the middle of its body", fails(Reason.RESET, "in the middle of the body"))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi", shown=(STATUS,))


@beside("the last chunk is missing", fails(Reason.RESET, "in the middle of the body"))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", shown=(STATUS,))


@beside("what answers is not HTTP", fails(Reason.PROTOCOL))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"220 mail.example ESMTP\r\n\r\n")


@beside("two equal Content-Length (httpx2#268)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi")


@beside("two different Content-Length", fails(Reason.PROTOCOL, "Content-Length"))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhix")


@beside("a folded header", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi")


@beside("lines that end in a bare LF", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi")


@beside("300 KiB of headers", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    head = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300 * 1024
    return await asked(scene, head + b"\r\nContent-Length: 2\r\n\r\nhi")


@beside("103 Early Hints before the answer", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    return await asked(scene, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, shown=(STATUS,))


@beside("redirects without an end", fails(Reason.REDIRECT, "more than 10"))
async def _(scene: Scene) -> Pair:
    return await scene.http((await scene.web()).say("/", status=302, headers={"Location": "/"}))


@beside("302 to itself with a cookie, then 200 (blackbox_exporter#186)", well(probe_http_redirects=1))
async def _(scene: Scene) -> Pair:
    web = await scene.web()

    async def gate(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        if "in=1" in request.headers.get("Cookie", ""):
            return aiohttp_web.Response(text="in")
        return aiohttp_web.Response(status=302, headers={"Location": "/", "Set-Cookie": "in=1; Path=/"})

    return await scene.http(web.on("/", gate), shown=("probe_http_redirects",))


@beside("Location in raw UTF-8: /schön (requests#3888)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /sch\xc3\xb6n\r\n\r\n"
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    answers = {b"/": moved, b"/sch%C3%B6n": OK, b"/sch%C3%83%C2%B6n": missing}
    return await scene.http(f"http://127.0.0.1:{await scene.tcp(raw(answers, []))}/", shown=(STATUS,))


@beside("a presigned URL, /a%3Bv=1?sig=ab%2Fcd (jumpstarter#662)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    seen: list[bytes] = []
    missing = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    answers = {b"/a;v=1?sig=ab/cd": missing, b"/a%3Bv=1?sig=ab/cd": missing}
    return await scene.http(f"http://127.0.0.1:{await scene.tcp(raw(answers, seen))}/a%3Bv=1?sig=ab%2Fcd")


@beside(
    "a redirect to another origin, with a header X-Api-Key",
    remarks("X-Api-Key"),
)
async def _(scene: Scene) -> Pair:
    web, other = await scene.web(), await scene.web()
    url = web.say("/", status=302, headers={"Location": other.say("/").replace("127.0.0.1", "localhost")})
    headers = {"X-Api-Key": "hush"}
    pair = await scene.http(url, {"headers": headers}, {"headers": headers})
    sent = ["the key is sent along" if "X-Api-Key" in got.headers else "the key stays" for got in other.requests]
    return Pair(f"{pair.theirs}; {sent[0]}", pair.ours, ())


@beside("basic auth from http to https of the same host (blackbox_exporter#1001)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    secure = await scene.web(tls=scene.certs.server())

    async def guarded(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        return aiohttp_web.Response(status=200 if "Authorization" in request.headers else 401)

    url = (await scene.web()).say("/", status=301, headers={"Location": secure.on("/", guarded)})
    known = {"username": "ann", "password": "hush"}
    return await scene.http(url, {"basic_auth": known}, known, tls=trusting(scene), shown=(STATUS,))


@beside("the Host header names another than the URL's address, over TLS", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    url = (await scene.web(tls=scene.certs.server("shop.test"))).say("/")
    headers = {"Host": "shop.test"}
    return await scene.http(url, {"headers": headers}, {"headers": headers}, tls=trusting(scene))


@beside("a TLS name with a dot at its end, `shop.test.` (openssl#12090)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    url = (await scene.web(tls=scene.certs.server("shop.test"))).say("/")
    return await scene.http(url, tls=trusting(scene, server_name="shop.test."))


@beside("a zone in the URL, http://[::1%25lo]/ (RFC 6874)", well(probe_http_status_code=200))
async def _(scene: Scene) -> Pair:
    url = (await scene.web(host="::1")).say("/").replace("[::1]", "[::1%25lo]")
    return await scene.http(url, {"preferred_ip_protocol": "ip6"})


@beside("the body must match and does not", fails(Reason.BODY, has=("probe_failed_due_to_regex",)))
async def _(scene: Scene) -> Pair:
    url = (await scene.web()).say("/", "we are closed")
    return await scene.http(
        url, {"fail_if_body_not_matches_regexp": ["open"]}, {"expect": {"body": "open"}}, shown=("probe_failed_due_to",)
    )


@beside("a body in gzip that must match", well())
async def _(scene: Scene) -> Pair:
    url = (await scene.web()).say("/", gzip.compress(b"open"), headers={"Content-Encoding": "gzip"})
    theirs = {"compression": "gzip", "fail_if_body_not_matches_regexp": ["open"]}
    return await scene.http(url, theirs, {"compression": "gzip", "expect": {"body": "open"}})


HEALTH: dict[str, Any] = {"expect": {"format": "health"}}


async def health(scene: Scene, body: object, status: int = 200) -> Pair:
    """Both ask a service that says this of its health."""
    return await scene.http((await scene.web()).say("/health", json.dumps(body), status=status), {}, HEALTH)


@beside('200 with `{"status": "unhealthy"}`', fails(Reason.UNHEALTHY))
async def _(scene: Scene) -> Pair:
    return await health(scene, {"status": "unhealthy", "checks": {"db": "down"}})


@beside("200 with IETF health+json whose database fails", fails(Reason.UNHEALTHY))
async def _(scene: Scene) -> Pair:
    return await health(scene, {"status": "fail", "checks": {"db:time": [{"status": "fail", "output": "refused"}]}})


@beside("200 with Spring's `DOWN`", fails(Reason.UNHEALTHY))
async def _(scene: Scene) -> Pair:
    return await health(scene, {"status": "DOWN", "components": {"db": {"status": "DOWN"}}})


@beside("200 with an empty health body, `{}`", fails(Reason.UNHEALTHY, "no status"))
async def _(scene: Scene) -> Pair:
    return await health(scene, {})


@beside('503, and `"unhealthy"` with the check that fails', fails(Reason.STATUS, "503", "unhealthy"))
async def _(scene: Scene) -> Pair:
    return await health(scene, {"status": "unhealthy", "checks": {"db": "down"}}, 503)


async def over_tls(scene: Scene, server: ssl.SSLContext, host: str = "127.0.0.1", **more: Any) -> Pair:
    """Both ask a page over TLS."""
    url = (await scene.web(tls=server)).say("/").replace("127.0.0.1", host)
    return await scene.http(url, tls=more.pop("tls", None) or trusting(scene), shown=(EXPIRY,), **more)


@beside("an expired certificate", fails(Reason.TLS_VERIFY, "expired", has=(EXPIRY,)))
async def _(scene: Scene) -> Pair:
    return await over_tls(scene, scene.certs.expired())


@beside("a certificate that is not valid yet", fails(Reason.TLS_VERIFY, "not yet valid", has=(EXPIRY,)))
async def _(scene: Scene) -> Pair:
    return await over_tls(scene, scene.certs.not_yet_valid())


@beside("a certificate for another host", fails(Reason.TLS_VERIFY, has=(EXPIRY,)))
async def _(scene: Scene) -> Pair:
    return await over_tls(scene, scene.certs.server("shop.example"))


@beside("a certificate signed by itself", fails(Reason.TLS_VERIFY, "self-signed", has=(EXPIRY,)))
async def _(scene: Scene) -> Pair:
    return await over_tls(scene, scene.certs.self_signed(), "localhost")


@beside("a certificate with a common name and no subjectAltName", fails(Reason.TLS_VERIFY, "subjectAltName"))
async def _(scene: Scene) -> Pair:
    server = scene.certs.without_names()
    return await over_tls(scene, server, "localhost", tls={"ca_file": str(scene.folder / "unnamed.pem")})


@beside("the intermediate expires before the server's own certificate", well())
async def _(scene: Scene) -> Pair:
    soon = datetime.now(UTC) + timedelta(days=2)
    issued = scene.certs.authority.issue_cert("127.0.0.1", not_after=soon)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    return await over_tls(scene, server)


def old_server(scene: Scene) -> ssl.SSLContext:
    """A server that speaks TLS 1.0 alone."""
    server = scene.certs.server()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1
    # OpenSSL 3 speaks TLS 1.0 at this level only.
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    return server


@beside("a server of TLS 1.0 alone", fails(Reason.TLS, "speaks TLS 1.0", has=(EXPIRY,)))
async def _(scene: Scene) -> Pair:
    return await over_tls(scene, old_server(scene))


@beside("the same, with TLS 1.0 allowed", well())
async def _(scene: Scene) -> Pair:
    url = (await scene.web(tls=old_server(scene))).say("/")
    theirs = {"tls_config": {"ca_file": scene.certs.ca_file, "min_version": "TLS10"}}
    ours = {"tls": {"ca_file": scene.certs.ca_file, "min_version": "TLS 1.0"}}
    return await scene.http(url, theirs, ours, shown=(EXPIRY,))


@beside("`ca_file` holds the server's own certificate (blackbox_exporter#1121)", well())
async def _(scene: Scene) -> Pair:
    issued = scene.certs.authority.issue_cert("127.0.0.1")
    leaf = scene.folder / "leaf.pem"
    issued.cert_chain_pems[0].write_to_path(str(leaf))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    return await over_tls(scene, server, tls={"ca_file": str(leaf)})


@beside("`ca_file` is gone for a moment, after a good run (blackbox_exporter#1038)", well())
async def _(scene: Scene) -> Pair:
    url = (await scene.web(tls=scene.certs.server())).say("/")
    moved = scene.folder / "moving-ca.pem"
    scene.certs.authority.cert_pem.write_to_path(str(moved))
    settings = {"ca_file": str(moved)}
    await scene.http(url, tls=settings)
    # Our settings were read while the file was there; blackbox_exporter too was loaded then.
    made = scene.made(kind="http", url=url, tls=settings)
    answer = await scene.asked_again(url, moved.unlink)
    return Pair(answer, await scene.ran(made))


@beside("https:// where plain HTTP is spoken", fails(Reason.TLS))
async def _(scene: Scene) -> Pair:
    url = (await scene.web()).say("/").replace("http:", "https:")
    return await scene.http(url, tls=trusting(scene))


@beside("a mail server's certificate after STARTTLS", well())
async def _(scene: Scene) -> Pair:
    first, last = (b"220 ready\r\n", b"250-shop\r\n250 STARTTLS\r\n"), b"220 begin\r\n"

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(last)
        await upgrading(scene.certs.server())(reader, writer)

    address = f"127.0.0.1:{await scene.tcp(scripted(*first, then=then))}"
    turns = [{"expect": "^220"}, {"send": "EHLO prober"}, {"expect": "^250 STARTTLS"}, {"send": "STARTTLS"}]
    theirs = {"query_response": [*turns, {"expect": "^220"}, {"starttls": True}], "tls_config": trusting(scene)}
    ours = {"kind": "tls", "address": address, "starttls": "smtp", "tls": trusting(scene)}
    return await scene.tcp_prober(address, theirs, ours, shown=(EXPIRY,))


@beside("an FTP greeting whose second line has no code, then AUTH TLS (RFC 959)", well())
async def _(scene: Scene) -> Pair:
    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"234 begin\r\n")
        await upgrading(scene.certs.server())(reader, writer)

    greeting = b"220-Welcome\r\n 220 is not the end\r\n220 ready\r\n"
    address = f"127.0.0.1:{await scene.tcp(scripted(greeting, then=then))}"
    turns = [{"expect": "^220"}, {"send": "AUTH TLS"}, {"expect": "^234"}, {"starttls": True}]
    theirs = {"query_response": turns, "tls_config": trusting(scene)}
    ours = {"kind": "tls", "address": address, "starttls": "ftp", "tls": trusting(scene)}
    return await scene.tcp_prober(address, theirs, ours, shown=(EXPIRY,))


@beside("a line is expected and another comes, then the end", fails(Reason.BODY, "no line had matched"))
async def _(scene: Scene) -> Pair:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 no service\r\n")
        await writer.drain()
        writer.write_eof()

    address = f"127.0.0.1:{await scene.tcp(talk)}"
    turns = [{"expect": "^220"}]
    return await scene.tcp_prober(
        address, {"query_response": turns}, {"kind": "tcp", "address": address, "query_response": turns}
    )
