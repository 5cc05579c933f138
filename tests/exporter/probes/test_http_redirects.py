"""What the `http` probe sends where a redirect leads, and that a URL is sent as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from pydantic import ValidationError

from deploywatch.exporter.results import Dropped, Reason
from deploywatch.exporter.settings.modules import Module
from tests.exporter.certs import Certs
from tests.exporter.support import Handler, Talk, Web, probe

Start = Callable[[Talk], Awaitable[int]]


def recording(targets: list[bytes], answers: dict[bytes, bytes]) -> Talk:
    """A server that notes the target of each request as its bytes are, and answers by it; 200 for any other."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        targets.append(target)
        writer.write(answers.get(target, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_only_harmless_headers_and_no_body_leave_the_origin(web: Web, status: int) -> None:
    headers = {"X-Api-Key": "k", "Cookie": "a=b", "Referer": "http://h/?token=t", "Accept-Token": "t", "Accept": "a/b"}
    async with Web() as other:
        url = web.say("/", status=status, headers={"Location": other.say("/")})
        result = await probe(kind="http", url=url, method="POST", body="secret", bearer_token="t0ken", headers=headers)
        assert result.success, result.detail
        sent = {name.lower() for name in other.requests[0].headers}
        assert other.requests[0].headers["Accept"] == "a/b"
        assert not sent & {"x-api-key", "cookie", "referer", "accept-token", "authorization"}
        assert other.bodies == [b""]
        names = {"X-Api-Key", "Cookie", "Referer", "Accept-Token", "Authorization"}
        names |= {"body"} if status in {307, 308} else set()
        (remark,) = result.remarks
        where, _, said = remark.partition(": ")
        assert (where, set(said.split(", "))) == (f"not sent to {other.url}", names)
        assert result.dropped == {Dropped.WITHHELD: len(names)}
    assert web.requests[0].headers["X-Api-Key"] == "k"


async def test_what_was_withheld_is_said_when_the_run_fails(web: Web) -> None:
    async with Web() as other:
        url = web.say("/", status=302, headers={"Location": other.say("/", status=401)})
        step = {"name": "s", "url": url, "headers": {"X-Api-Key": "k"}}
        for result in (
            await probe(kind="http", url=url, headers={"X-Api-Key": "k"}),
            await probe(kind="flow", steps=[step]),
        ):
            assert result.reason is Reason.STATUS
            assert result.detail.endswith(f"; not sent to {other.url}: X-Api-Key")


async def test_on_the_same_origin_headers_and_body_go_along(web: Web) -> None:
    web.say("/new")
    url = web.say("/", status=307, headers={"Location": "/new"})
    await probe(kind="http", url=url, method="POST", body="ping", headers={"X-Api-Key": "k"})
    assert web.requests[1].headers["X-Api-Key"] == "k"
    assert web.bodies[1] == b"ping"


async def test_what_was_withheld_once_does_not_come_back_with_the_way_back(web: Web) -> None:
    async with Web() as other:
        web.say("/back")
        away = other.say("/", status=302, headers={"Location": f"{web.url}/back"})
        url = web.say("/", status=302, headers={"Location": away})
        assert (await probe(kind="http", url=url, headers={"X-Api-Key": "k"})).success
    assert "X-Api-Key" not in web.requests[1].headers


async def test_basic_authentication_goes_along_from_http_to_https_of_the_same_host(web: Web, certs: Certs) -> None:
    async with Web(tls=certs.server()) as secure:
        url = web.say("/", status=301, headers={"Location": secure.say("/")})
        credentials: dict[str, Any] = {"username": "ann", "password": "secret", "headers": {"X-Api-Key": "k"}}
        result = await probe(kind="http", url=url, tls={"ca_file": certs.ca_file}, **credentials)
        assert result.success, result.detail
        assert secure.requests[0].headers["Authorization"].startswith("Basic ")
        assert "X-Api-Key" not in secure.requests[0].headers


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a%3Bv=1?sig=ab%2Fcd%2b", b"/a%3Bv=1?sig=ab%2Fcd%2b"),
        ("/a/../b;c?x=%41&y=+", b"/a/../b;c?x=%41&y=+"),
        ("/sch\u00f6n b?q=100%", b"/sch%C3%B6n%20b?q=100%25"),
        ("", b"/"),
    ],
)
async def test_a_url_is_sent_as_it_is_written(tcp: Start, written: str, sent: bytes) -> None:
    targets: list[bytes] = []
    port = await tcp(recording(targets, {}))
    assert (await probe(kind="http", url=f"http://127.0.0.1:{port}{written}#top")).success
    assert targets == [sent]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/sch\xc3\xb6n", b"/sch%C3%B6n"),
        (b"/sch\xf6n", b"/sch%F6n"),
        (b"/a%3Bv?sig=ab%2Fcd", b"/a%3Bv?sig=ab%2Fcd"),
    ],
)
async def test_a_redirect_is_followed_with_the_bytes_that_came(tcp: Start, location: bytes, asked: bytes) -> None:
    targets: list[bytes] = []
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    port = await tcp(recording(targets, {b"/": answer}))
    result = await probe(kind="http", url=f"http://127.0.0.1:{port}/")
    assert result.success, result.detail
    assert targets == [b"/", asked]


@pytest.mark.parametrize("method", ["PROPFIND", "QUERY", "M-SEARCH"])
async def test_any_method_is_sent(web: Web, method: str) -> None:
    async def handler(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        return aiohttp_web.Response(status=207)

    assert (await probe(kind="http", url=web.on("/", handler), method=method)).success
    assert web.requests[0].method == method


@pytest.mark.parametrize("method", ["", "GET /", "GET\r\nX: y", "CONNECT"])
async def test_what_is_no_method_is_refused(method: str) -> None:
    with pytest.raises(ValidationError, match="method"):
        await probe(kind="http", url="http://127.0.0.1/", method=method)


async def test_the_host_header_is_the_name_that_tls_is_for(certs: Certs) -> None:
    async with Web(tls=certs.server("shop.test")) as web:
        settings: dict[str, Any] = {"url": web.say("/"), "tls": {"ca_file": certs.ca_file}}
        named = await probe(kind="http", headers={"Host": "shop.test:443"}, **settings)
        assert named.success, named.detail
        assert (await probe(kind="http", **settings)).reason is Reason.TLS_VERIFY


async def test_the_dot_of_an_absolute_name_is_no_part_of_the_certificates_name(certs: Certs) -> None:
    async with Web(tls=certs.server("localhost")) as web:
        # Not every machine resolves the name itself with its dot.
        tls = {"ca_file": certs.ca_file, "server_name": "localhost."}
        result = await probe(kind="http", url=web.say("/"), tls=tls)
        assert result.success, result.detail


async def test_a_zone_of_an_address_is_understood() -> None:
    async with Web(host="::1") as web:
        url = web.say("/").replace("[::1]", "[::1%25lo]")
        result = await probe(kind="http", url=url)
        assert result.success, result.detail
        assert "%" not in web.requests[0].headers["Host"]
        lost = await probe(kind="http", url=url.replace("%25lo", "%25nowhere0"))
        assert (lost.reason, lost.detail) == (Reason.DNS, "this machine has no interface 'nowhere0'")


@pytest.mark.parametrize("name", ["Accept-Token", "Host-Key", "Origin-Secret", "User-Agent-Token"])
def test_a_header_that_only_begins_like_a_harmless_one_binds_its_module(name: str) -> None:
    with pytest.raises(ValidationError, match="is a credential"):
        Module.model_validate({"kind": "http", "headers": {name: "s3cret"}})


def gate(cookie: str, seen: list[str | None], *, path: str = "/") -> Handler:
    """Sends back to `path` whoever comes without the cookie, and sets it."""

    async def handler(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        if cookie.partition(";")[0] in (seen[-1] or ""):
            return aiohttp_web.Response(text="in")
        return aiohttp_web.Response(status=302, headers={"Location": path, "Set-Cookie": cookie})

    return handler


async def test_a_cookie_that_a_redirect_sets_is_sent_where_it_leads(web: Web) -> None:
    seen: list[str | None] = []
    url = web.on("/", gate("session=abc; Path=/; HttpOnly", seen))
    result = await probe(kind="http", url=url, headers={"Cookie": "lang=de; session=old"}, expect={"body": "in"})
    assert result.success, result.detail
    assert seen == ["lang=de; session=old", "lang=de; session=abc"]
    again = await probe(kind="http", url=url, expect={"body": "in"})
    assert again.success, again.detail
    assert seen[2] is None, "a run begins without cookies"


@pytest.mark.parametrize(
    ("cookie", "where", "sent"),
    [
        ("a=1", "/", "a=1"),
        ("a=1; Secure", "/", None),
        ("a=1; Path=/elsewhere", "/", None),
        ("a=1; Domain=other.example", "/", None),
        ("a=1; Max-Age=0", "/", None),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/", None),
        ('a="x y"; SameSite=Lax', "/", 'a="x y"'),
        ("a=1,2|3", "/", "a=1,2|3"),
        ("a=1; Expires=Wed, 21 Ocr 2099 07:28:00 GMT; Path=/", "/", "a=1"),
        ("a=sch\u00f6n; Expires=Wed, 21 Oct 2099 07:28:00\u00f6", "/", "a=sch\u00f6n"),
        ("a=b=c==", "/", "a=b=c=="),
    ],
)
async def test_cookies_go_where_they_belong(web: Web, cookie: str, where: str, sent: str | None) -> None:
    web.say("/target")
    await probe(kind="http", url=web.say(where, status=302, headers={"Location": "/target", "Set-Cookie": cookie}))
    assert web.requests[1].headers.get("Cookie") == sent


async def test_several_cookies_are_kept_and_none_goes_to_another_host(web: Web) -> None:
    async def sets(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        answer = aiohttp_web.Response(status=302, headers={"Location": "/on"})
        answer.headers.add("Set-Cookie", "a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT")
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    async with Web() as other:
        away = other.say("/").replace("127.0.0.1", "localhost")
        web.say("/on", status=302, headers={"Location": away})
        assert (await probe(kind="http", url=web.on("/", sets))).success
        assert web.requests[1].headers["Cookie"] == "a=1; b=2"
        assert "Cookie" not in other.requests[0].headers
