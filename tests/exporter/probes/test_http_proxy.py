"""The `http` probe through proxies of every kind."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError
from yarl import URL

from deploywatch.clock import SystemClock
from deploywatch.config import redacted
from deploywatch.exporter.net.http.proxy import Proxies, from_environment
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.proxy_server import INVENTED, Proxy
from tests.exporter.support import Tcp, Web, measured, probe, silent


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[Proxy, int]]:
    """A proxy, and its port."""
    served = Proxy()
    async with Tcp(served) as port:
        yield served, port


async def through(url: str, proxy_url: str, **more: Any) -> Result:
    return await probe(kind="http", url=url, proxy_url=proxy_url, **more)


async def test_a_plain_request_is_given_to_the_proxy_as_a_whole(proxy: tuple[Proxy, int], web: Web) -> None:
    served, port = proxy
    web.say("/a/b", "hello")
    result = await through(
        f"http://{INVENTED}:{web.port}/a%2Fb?c=d", f"http://127.0.0.1:{port}", expect={"body": "hello"}
    )
    assert result.success, result.detail
    assert served.asked == [f"GET http://{INVENTED}:{web.port}/a%2Fb?c=d HTTP/1.1"]
    assert f"Host: {INVENTED}:{web.port}" in served.heads[0]
    values = measured(result)
    assert values["probe_http_status_code"] == 200
    assert "probe_dns_lookup_time_seconds" not in values, "the name is the proxy's affair"


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_tls_goes_through_a_tunnel(proxy: tuple[Proxy, int], certs: Certs, scheme: str) -> None:
    served, port = proxy
    async with Web(tls=certs.server(INVENTED)) as web:
        web.say("/", "hello")
        url = f"https://{INVENTED}:{web.port}/"
        result = await through(url, f"{scheme}://127.0.0.1:{port}", tls={"ca_file": certs.ca_file})
        assert result.success, result.detail
        assert "probe_ssl_earliest_cert_expiry" in measured(result)
        untrusted = await through(url, f"{scheme}://127.0.0.1:{port}")
        assert untrusted.reason is Reason.TLS_VERIFY
    word = "SOCKS" if scheme != "http" else "CONNECT"
    assert served.asked[0].startswith(f"{word} {INVENTED}:{web.port}")


async def test_a_proxy_over_tls_carries_both_kinds(certs: Certs, web: Web) -> None:
    web.say("/", "hello")
    tls = {"ca_file": certs.ca_file}
    async with Tcp(Proxy(), tls=certs.server("localhost")) as port, Web(tls=certs.server(INVENTED)) as secure:
        secure.say("/", "hello")
        for url in (f"http://{INVENTED}:{web.port}/", f"https://{INVENTED}:{secure.port}/"):
            result = await through(url, f"https://localhost:{port}", tls=tls)
            assert result.success, result.detail


async def test_names_may_be_resolved_here_and_the_proxy_told_addresses(proxy: tuple[Proxy, int], web: Web) -> None:
    served, port = proxy
    web.say("/", "hello")
    result = await through(
        f"http://localhost:{web.port}/", f"http://127.0.0.1:{port}", proxy_resolves=False, preferred_ip_protocol="ip4"
    )
    assert result.success, result.detail
    assert served.asked == [f"GET http://127.0.0.1:{web.port}/ HTTP/1.1"]
    assert f"Host: localhost:{web.port}" in served.heads[0]
    assert measured(result)["probe_ip_protocol"] == 4


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_credentials_go_to_the_proxy_and_nowhere_else(web: Web, certs: Certs, scheme: str) -> None:
    async with Web(tls=certs.server(INVENTED)) as secure, Tcp(Proxy("ann", "hush")) as port:
        secure.say("/", "hello")
        url, tls = f"https://{INVENTED}:{secure.port}/", {"ca_file": certs.ca_file}
        result = await through(url, f"{scheme}://ann:hush@127.0.0.1:{port}", tls=tls)
        assert result.success, result.detail
        assert "Proxy-Authorization" not in secure.requests[0].headers
        for wrong in (f"{scheme}://ann:wrong@127.0.0.1:{port}", f"{scheme}://127.0.0.1:{port}"):
            result = await through(url, wrong, tls=tls)
            assert result.reason is Reason.PROXY, result.detail
            assert "wrong" not in result.detail
    settings = HttpSettings.model_validate(
        {
            "kind": "http",
            "url": "http://x",
            "proxy_url": "http://ann:hush@p:1",
            "proxy_connect_header": {"Proxy-Authorization": "Bearer hush"},
        }
    )
    assert "hush" not in str(redacted(settings))


async def test_headers_for_the_proxy_are_sent_with_connect_alone(proxy: tuple[Proxy, int], certs: Certs) -> None:
    served, port = proxy
    more: dict[str, Any] = {"proxy_connect_header": {"X-Team": "shop"}, "tls": {"ca_file": certs.ca_file}}
    async with Web(tls=certs.server(INVENTED)) as web:
        web.say("/", "hello")
        result = await through(f"https://{INVENTED}:{web.port}/", f"http://127.0.0.1:{port}", **more)
        assert result.success, result.detail
        assert "X-Team: shop" in served.heads[0]
        assert "X-Team" not in web.requests[0].headers


async def test_what_the_proxy_says_is_the_reason(proxy: tuple[Proxy, int]) -> None:
    served, port = proxy
    served.refuse = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    result = await through("https://x.example/", f"http://127.0.0.1:{port}")
    assert (result.reason, result.detail) == (
        Reason.PROXY,
        "the proxy 127.0.0.1 answered CONNECT x.example:443 with 503",
    )
    result = await through("https://x.example/", f"socks5://127.0.0.1:{port}")
    assert (result.reason, result.detail) == (
        Reason.PROXY,
        "the proxy 127.0.0.1 cannot connect to x.example:443: not allowed",
    )


async def test_a_proxy_that_is_not_there_or_hangs_is_not_the_targets_fault() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        result = await through("http://x.example/", f"http://127.0.0.1:{port}")
    assert (result.reason, result.detail) == (Reason.PROXY, f"the proxy 127.0.0.1:{port}: the connection was refused")
    assert (await through("http://x.example/", "http://proxy.invalid:3128")).reason is Reason.PROXY
    async with Tcp(silent) as port:
        for scheme in ("http", "socks5"):
            result = await through("https://x.example/", f"{scheme}://127.0.0.1:{port}", limit=0.5)
            assert result.reason is Reason.PROXY
            assert "it was at: proxy" in result.detail


async def test_the_environment_names_the_proxy(
    proxy: tuple[Proxy, int], web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, port = proxy
    web.say("/", "hello")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "https_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
    url = f"http://{INVENTED}:{web.port}/"
    assert (await probe(kind="http", url=url, proxy_from_environment=True)).success
    assert len(served.asked) == 1
    local = await probe(kind="http", url=f"http://127.0.0.1:{web.port}/", proxy_from_environment=True)
    assert local.success, "this machine is reached without"
    assert len(served.asked) == 1
    monkeypatch.setenv("NO_PROXY", "example")
    assert (await probe(kind="http", url=url, proxy_from_environment=True)).reason is Reason.DNS


def test_in_cgi_a_header_cannot_name_the_proxy() -> None:
    assert from_environment({"HTTP_PROXY": "evil", "REQUEST_METHOD": "GET", "HTTPS_PROXY": "p"})[:2] == ("", "p")


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "http://a.example/", True),
        ("example", "http://a.example/", True),
        ("example", "http://example/", True),
        ("example", "http://notexample/", False),
        (".example", "http://example/", False),
        (".example", "http://a.example/", True),
        ("*.example", "http://a.example/", True),
        ("A.Example", "http://a.example/", True),
        ("a.example.", "http://a.example/", True),
        (".example.", "http://a.example./", True),
        (".", "http://a.example/", False),
        ("a.example:80", "http://a.example/", True),
        ("a.example:81", "http://a.example/", False),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.1.2.3", "http://10.1.2.3:8080/", True),
        ("2001:db8::/32", "http://[2001:db8::1]/", True),
        ("[2001:db8::1]:80", "http://[2001:db8::1]/", True),
        ("2001:db8::1", "http://[2001:db8::1]/", True),
        ("x, a.example", "http://a.example/", True),
        ("x", "http://localhost/", True),
        ("x", "http://127.0.0.7/", True),
        ("x", "http://[::1]/", True),
        ("nonsense/99", "http://a.example/", False),
        ("x", "https://a.example/", False),
    ],
)
def test_what_goes_through_no_proxy_is_read_as_go_reads_it(no_proxy: str, url: str, direct: bool) -> None:
    proxies = Proxies(URL("http://p:1"), URL("http://q:1"), no_proxy, loopback=False)
    assert (proxies.of(URL(url)) is None) is direct


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"proxy_url": "ftp://p:21"}, "is not a proxy"),
        ({"proxy_url": "http://"}, "is not a proxy"),
        ({"no_proxy": "x"}, "no_proxy is given without proxy_url"),
        ({"proxy_connect_header": {"A": "b"}}, "given without a proxy"),
        ({"proxy_url": "http://p", "proxy_from_environment": True}, "keep one of them"),
        ({"proxy_url": "http://p", "proxy_connect_header": {"A": "b\nc"}}, "must be one line"),
    ],
)
async def test_a_fault_of_the_settings_is_told(more: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        await probe(kind="http", url="http://x", **more)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "localhost", "169.254.169.254"]
)
@pytest.mark.parametrize("resolves", [True, False])
async def test_on_probe_no_address_is_reached_by_a_proxy_that_may_not_be_reached(
    proxy: tuple[Proxy, int], host: str, resolves: bool
) -> None:
    served, port = proxy
    settings = HttpSettings.model_validate(
        {
            "kind": "http",
            "url": f"http://{host}:1/",
            "proxy_url": f"http://127.0.0.1:{port}",
            "proxy_resolves": resolves,
        }
    )
    result = await run(settings.probe(), limit=5, clock=SystemClock(), allowed=lambda address: address.is_global)
    assert result.reason is Reason.FORBIDDEN, result.detail
    assert served.asked == []
