"""The `http` probe with a token by OAuth 2.0 client credentials."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web as aiohttp_web
from pydantic import ValidationError

from deploywatch.clock import SystemClock
from deploywatch.config import redacted
from deploywatch.exporter.probes.http import HttpSettings
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Reason, Result
from tests.exporter.support import Web, measured, probe

PAIR = base64.b64encode(b"me:hu%26sh").decode()


@dataclass(slots=True)
class Endpoint:
    """A token endpoint, and the API that its tokens are for."""

    web: Web
    in_header: bool = True
    answer: dict[str, Any] = field(default_factory=lambda: {"access_token": "t0", "expires_in": 3600})
    status: int = 200
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def token(self, request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        form = parse_qs(self.web.bodies[-1].decode())
        self.forms.append(form)
        header = request.headers.get("Authorization") == f"Basic {PAIR}"
        known = header if self.in_header else form.get("client_secret") == ["hu&sh"]
        if not known:
            return aiohttp_web.json_response({"error": "invalid_client"}, status=401)
        return aiohttp_web.json_response(self.answer, status=self.status)

    async def api(self, request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        self.asked.append(request.headers.get("Authorization", ""))
        good = self.asked[-1] == f"Bearer {self.answer.get('access_token')}"
        return aiohttp_web.Response(text="hello", status=200 if good else 401)

    def settings(self, **oauth2: Any) -> HttpSettings:
        return HttpSettings.model_validate(
            {
                "kind": "http",
                "url": self.web.on("/api", self.api),
                "oauth2": {
                    "client_id": "me",
                    "client_secret": "hu&sh",
                    "token_url": self.web.on("/token", self.token),
                    **oauth2,
                },
            }
        )


@pytest.fixture
def endpoint(web: Web) -> Endpoint:
    return Endpoint(web)


async def once(settings: HttpSettings, limit: float = 5) -> Result:
    return await run(settings.probe(), limit=limit, clock=SystemClock())


@pytest.mark.parametrize("in_header", [True, False])
async def test_a_token_is_fetched_and_sent(endpoint: Endpoint, in_header: bool) -> None:
    endpoint.in_header = in_header
    result = await once(endpoint.settings(scopes=["a", "b"], endpoint_params={"audience": "x"}))
    assert result.success, result.detail
    assert endpoint.asked == ["Bearer t0"]
    form = endpoint.forms[-1]
    assert (form["grant_type"], form["scope"], form["audience"]) == (["client_credentials"], ["a b"], ["x"])
    assert measured(result)["probe_http_status_code"] == 200


async def test_a_token_is_used_until_it_expires_or_is_refused(endpoint: Endpoint) -> None:
    probe = endpoint.settings().probe()

    async def again() -> Result:
        return await run(probe, limit=5, clock=SystemClock())

    assert (await again()).success
    assert (await again()).success
    assert len(endpoint.forms) == 1
    endpoint.answer["access_token"] = "t1"
    assert (await again()).reason is Reason.STATUS, "the old one is no good any more"
    assert (await again()).success
    assert endpoint.asked[-1] == "Bearer t1"
    endpoint.answer["expires_in"] = 1
    probe = endpoint.settings().probe()
    assert [(await again()).success, (await again()).success] == [True, True]
    assert len(endpoint.forms) == 4


def no_token(endpoint: Endpoint) -> str:
    endpoint.answer = {"token": "t0"}
    return "answered without an access_token"


def broken(endpoint: Endpoint) -> str:
    endpoint.status, endpoint.answer = 500, {"error": "oops", "error_description": "later"}
    return "answered 500: oops: later"


def forged(endpoint: Endpoint) -> str:
    endpoint.answer = {"access_token": "a\r\nX: b"}
    return "answered with a token that fits into no header"


@pytest.mark.parametrize("spoil", [no_token, broken, forged])
async def test_without_a_token_the_endpoint_is_the_reason(endpoint: Endpoint, spoil: Callable[[Endpoint], str]) -> None:
    told = spoil(endpoint)
    result = await once(endpoint.settings())
    assert (result.reason, result.detail) == (Reason.AUTH, f"no token: the endpoint at 127.0.0.1: {told}")
    assert endpoint.asked == []


ODD = (
    *("", " ", "a\nb", "t\x7f", "t\x85", "t\u20ac", "\ud800", "\u202et", "x" * 70_000),
    *({"t": 1}, ["t"], 7, True, None),
)
"""What is no token."""


async def test_a_token_that_fits_into_no_header_is_sent_to_nobody(endpoint: Endpoint) -> None:
    for odd in ODD:
        endpoint.answer = {"access_token": odd}
        result = await once(endpoint.settings())
        assert result.reason is Reason.AUTH, odd
        assert len(result.detail) < 200, odd
    for kind in ({"a": 1}, ["Bearer"], 7, True, "a b", "X\u202e", "B\r\nX: y", "x" * 300):
        endpoint.answer = {"access_token": "t0", "token_type": kind}
        assert (await once(endpoint.settings())).reason is Reason.AUTH, kind
    assert endpoint.asked == []


async def test_a_lifetime_that_is_none_makes_a_token_for_one_run(endpoint: Endpoint) -> None:
    for odd in (10**400, -5, "nan", "inf", "soon", [3600], {"a": 1}, None, -(10**400)):
        endpoint.answer = {"access_token": "t0", "expires_in": odd}
        probe = endpoint.settings().probe()
        endpoint.forms.clear()
        for _ in range(2):
            assert (await run(probe, limit=5, clock=SystemClock())).success, odd
        assert len(endpoint.forms) == 2, odd


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_where_a_token_endpoint_redirects_nobody_is_asked(endpoint: Endpoint, status: int) -> None:
    async with Web() as other:
        other.say("/token", '{"access_token": "t0"}')

        async def away(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
            return aiohttp_web.Response(status=status, headers={"Location": f"{other.url}/token"})

        result = await once(endpoint.settings(token_url=endpoint.web.on("/away", away)))
        assert (result.reason, other.requests, endpoint.asked) == (Reason.AUTH, [], [])
        assert f"answered {status}" in result.detail


async def test_a_client_that_is_not_known_is_the_reason(endpoint: Endpoint) -> None:
    result = await once(endpoint.settings(client_secret="wrong"))
    assert result.reason is Reason.AUTH
    assert "answered 401: invalid_client" in result.detail
    assert "wrong" not in result.detail


async def test_an_endpoint_that_hangs_or_is_not_there_is_the_reason(endpoint: Endpoint, web: Web) -> None:
    result = await once(endpoint.settings(token_url="http://127.0.0.1:1/token"))
    assert result.reason is Reason.AUTH
    assert "the connection was refused" in result.detail

    async def never(_: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
        raise ConnectionResetError

    result = await once(endpoint.settings(token_url=web.on("/gone", never)))
    assert result.reason is Reason.AUTH


async def test_the_token_does_not_leave_its_origin(endpoint: Endpoint, web: Web) -> None:
    async with Web() as other:
        other.say("/", "hello")

        async def away(request: aiohttp_web.BaseRequest) -> aiohttp_web.StreamResponse:
            assert request.headers["Authorization"] == "Bearer t0"
            return aiohttp_web.Response(status=302, headers={"Location": f"{other.url}/"})

        settings = endpoint.settings()
        result = await once(settings.with_changes(url=web.on("/away", away)))
        assert result.success, result.detail
        assert "Authorization" not in other.requests[0].headers


def test_secrets_are_not_shown(endpoint: Endpoint) -> None:
    assert "hu&sh" not in str(redacted(endpoint.settings(endpoint_params={"api_key": "hu&sh"})))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bearer_token": "x"}, "beside another way"),
        ({"headers": {"authorization": "x"}}, "beside another way"),
        ({"username": "x"}, "beside another way"),
    ],
)
def test_there_is_one_way_to_say_who_asks(endpoint: Endpoint, change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        endpoint.settings().with_changes(**change)


def test_an_endpoint_is_an_http_url(endpoint: Endpoint) -> None:
    with pytest.raises(ValidationError, match="not an HTTP URL"):
        endpoint.settings(token_url="ftp://x")


async def test_a_step_of_a_flow_may_need_a_token(endpoint: Endpoint) -> None:
    single = endpoint.settings()
    assert single.oauth2
    secret = single.oauth2.client_secret.get_secret_value()
    oauth2 = {"client_id": "me", "client_secret": secret, "token_url": f"{endpoint.web.url}/token"}
    steps = [{"name": "api", "url": f"{endpoint.web.url}/api", "oauth2": oauth2}]
    result = await probe(kind="flow", steps=steps)
    assert result.success, result.detail
    assert endpoint.asked == ["Bearer t0"]
    result = await probe(kind="flow", steps=[{**steps[0], "oauth2": {**oauth2, "client_secret": "wrong"}}])
    assert result.reason is Reason.AUTH
    assert "step api: no token" in result.detail
