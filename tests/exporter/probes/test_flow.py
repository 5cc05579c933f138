"""The `flow` probe against a real local server: values passed on, each step a result, nothing secret shown."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as aiohttp_web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.clock import SystemClock
from deploywatch.exporter import config
from deploywatch.exporter.net.http.judging.templating import fill, fill_body, fill_url, masked, names
from deploywatch.exporter.probes.flow import FlowSettings
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Dropped, Reason, Result
from tests.exporter.probes.stages import PAGES, serve_smoke
from tests.exporter.support import Talk, Web, cut, measured, probe, silent

TOKEN = 't0k/en"é'


async def flow(web: Web, *steps: dict[str, Any], limit: float = 60, **settings: Any) -> Result:
    """Run the steps below the server's URL."""
    return await probe(limit, kind="flow", base_url=web.url, steps=list(steps), **settings)


def login(web: Web) -> dict[str, Any]:
    """A step that saves a token."""
    web.say("/login", json.dumps({"user": {"token": TOKEN}, "id": 7}))
    return {"name": "login", "url": "/login", "method": "POST", "save": {"token": {"json": "user.token"}}}


async def test_what_a_step_saves_goes_into_the_next(web: Web) -> None:
    web.say("/me")
    result = await flow(
        web,
        login(web) | {"save": {"token": {"json": "user.token"}, "id": {"json": "id"}}},
        {
            "name": "me",
            "url": "/me?key={token}&n={id}&literal={{id}}",
            "method": "POST",
            "headers": {"Authorization": "Bearer {token}"},
            "body": '{"token": "{token}"}',
        },
    )
    assert result.success, result.detail
    request = web.requests[1]
    assert dict(request.query) == {"key": TOKEN, "n": "7", "literal": "{id}"}
    assert request.headers["Authorization"].encode("utf-8", "surrogateescape") == f"Bearer {TOKEN}".encode()
    assert json.loads(web.bodies[1]) == {"token": TOKEN}


async def test_each_step_is_a_result_of_its_own(web: Web) -> None:
    web.say("/a")
    web.say("/b", status=503)
    result = await flow(web, {"name": "a", "url": "/a"}, {"name": "b", "url": "/b"}, {"name": "c", "url": "/c"})
    assert (result.reason, result.detail) == (Reason.STATUS, f"step b: status 503, not 2xx (GET {web.url}/b)")
    values = measured(result)
    assert values["probe_step_success{step=a}"] == 1
    assert values["probe_step_success{step=b}"] == 0
    assert values["probe_step_http_status_code{step=b}"] == 503
    assert values["probe_step_failure_info{step=b,reason=status}"] == 1
    assert values["probe_step_duration_seconds{step=a}"] > 0
    assert not any("step=c" in name for name in values)


async def test_a_flow_that_goes_on_skips_only_what_needs_the_failed_step(web: Web) -> None:
    web.say("/login", status=401)
    web.say("/open")
    result = await flow(
        web,
        {"name": "login", "url": "/login", "save": {"token": {"json": "token"}}},
        {"name": "me", "url": "/me?{token}"},
        {"name": "open", "url": "/open"},
        on_failure="continue",
    )
    detail = f"step login: status 401, not 2xx (GET {web.url}/login); also failed: me"
    assert (result.reason, result.detail) == (Reason.STATUS, detail)
    values = measured(result)
    assert values["probe_step_failure_info{step=me,reason=skipped}"] == 1
    assert values["probe_step_success{step=open}"] == 1


@pytest.mark.parametrize(
    ("save", "expected"),
    [
        ({"json": "id"}, "7"),
        ({"header": "X-Id"}, "seven"),
        ({"regex": '"id": (\\d)'}, "7"),
        ({"header": "set-cookie", "regex": "sid=([^;]+)"}, "abc"),
    ],
)
async def test_a_value_is_saved_from_wherever_it_is(web: Web, save: dict[str, str], expected: str) -> None:
    async def handler(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        answer = aiohttp_web.Response(text='{"id": 7}', headers={"X-Id": "seven"})
        answer.set_cookie("other", "x")
        answer.set_cookie("sid", "abc")
        return answer

    web.on("/first", handler)
    web.say("/next")
    result = await flow(web, {"name": "a", "url": "/first", "save": {"v": save}}, {"name": "b", "url": "/next?{v}"})
    assert result.success, result.detail
    assert web.requests[1].query_string == expected


@pytest.mark.parametrize("save", [{"json": "none"}, {"json": "user"}, {"header": "X-No"}, {"regex": "nothing"}])
async def test_a_value_that_is_not_there_is_the_reason(web: Web, save: dict[str, str]) -> None:
    result = await flow(web, login(web) | {"save": {"v": save}})
    assert result.reason is Reason.VALUE
    assert TOKEN not in result.detail


async def test_a_value_that_is_a_url_may_be_gone_to(web: Web) -> None:
    web.say("/far")
    web.say("/first", json.dumps({"next": web.url + "/far"}))
    steps: list[dict[str, Any]] = [
        {"name": "a", "url": "/first", "save": {"next": {"json": "next"}}},
        {"name": "b", "url": "{next}?x=1"},
    ]
    assert (await flow(web, *steps)).success
    web.say("/first", json.dumps({"next": "file:///etc/passwd"}))
    result = await flow(web, *steps)
    assert result.reason is Reason.VALUE


async def test_no_secret_is_shown_in_any_message(web: Web) -> None:
    web.say("/echo", json.dumps({"said": TOKEN, "pass": "hunter2", "long": "hunter2" * 20}))
    for assertion in ("said == other", "pass == other", "long == other"):
        result = await flow(
            web,
            login(web),
            {"name": "echo", "url": "/echo?{token}{pass}", "expect": {"values": [assertion]}},
            values={"pass": "hunter2"},
        )
        assert result.reason is Reason.VALUE
        assert "***" in result.detail or "something 142 characters long" in result.detail
        assert "hunter2" not in repr(result)
        assert "t0k" not in repr(result)


async def test_a_value_cannot_add_a_header(web: Web) -> None:
    web.say("/first", json.dumps({"v": "x\r\nX-Evil: 1"}))
    result = await flow(
        web,
        {"name": "a", "url": "/first", "save": {"v": {"json": "v"}}},
        {"name": "b", "url": "/next", "headers": {"X-V": "{v}"}},
    )
    assert result.reason is Reason.VALUE
    assert len(web.requests) == 1


async def test_a_step_has_a_time_of_its_own(web: Web, tcp: Callable[[Talk], Awaitable[int]]) -> None:
    web.say("/")
    hanging = {"name": "slow", "url": f"http://127.0.0.1:{await tcp(silent)}/"}

    async def hung(own: float) -> Result:
        steps = ({**hanging, "timeout": f"{own:g}s"}, {"name": "fast", "url": "/"})
        return await flow(web, *steps, on_failure="continue")

    own = 0.1
    while "processing" not in (result := await hung(own)).detail and own < 20:  # a slow machine needs longer
        own *= 10
    assert (result.reason, result.detail) == (
        Reason.DEADLINE,
        f"step slow: not done within its {own:g} s; it was at: processing (GET {hanging['url']})",
    )
    values = measured(result)
    assert own <= values["probe_step_duration_seconds{step=slow}"] < own + 30
    assert values["probe_step_success{step=fast}"] == 1


async def test_the_deadline_of_the_flow_cuts_a_step_and_says_which(
    web: Web, tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    web.say("/")
    hanging = {"name": "slow", "url": f"http://127.0.0.1:{await tcp(silent)}/"}
    steps = [{"name": "fast", "url": "/"}, hanging]
    result, limit = await cut("processing", kind="flow", base_url=web.url, steps=steps)
    assert (result.reason, result.detail) == (
        Reason.DEADLINE,
        f"not done within {limit}; it was at: step slow: processing",
    )
    values = measured(result)
    assert values["probe_step_success{step=fast}"] == 1
    assert values["probe_step_failure_info{step=slow,reason=deadline}"] == 1


async def test_a_step_that_is_refused_is_the_reason(web: Web) -> None:
    result = await flow(web, {"name": "gone", "url": "http://127.0.0.1:1/"})
    detail = "step gone: the connection was refused (GET http://127.0.0.1:1/)"
    assert (result.reason, result.detail) == (Reason.CONNECT_REFUSED, detail)


async def test_a_flow_can_be_given_another_target(web: Web) -> None:
    web.say("/health")
    settings = FlowSettings.model_validate(
        {"kind": "flow", "base_url": "http://a", "steps": [{"name": "a", "url": "/health"}]}
    )
    result = await run(settings.with_target(web.url.removeprefix("http://")).probe(), limit=60, clock=SystemClock())
    assert result.success, result.detail


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": []},
        {"steps": [{"name": "a", "url": "/x"}]},
        {"steps": [{"name": "a", "url": "ftp://a/"}]},
        {"steps": [{"name": "a", "url": "http://a/{token}"}]},
        {"steps": [{"name": "a", "url": "http://a/", "body": "{token}"}]},
        {"steps": [{"name": "a", "url": "http://a/"}, {"name": "a", "url": "http://b/"}]},
        {"steps": [{"name": "a", "url": "http://a/", "save": {"not a name": {"json": "a"}}}]},
        {"steps": [{"name": "a", "url": "http://a/", "save": {"v": {}}}]},
        {"steps": [{"name": "a", "url": "http://a/", "save": {"v": {"json": "a", "regex": "b"}}}]},
        {"base_url": "ftp://a", "steps": [{"name": "a", "url": "/"}]},
    ],
)
async def test_a_flow_that_makes_no_sense_is_refused_in_the_config(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await probe(kind="flow", **settings)


class TestSmoke:
    """The smoke suite on the documentation's page, as source 004 has it, against a local server."""

    async def run(self, web: Web, write: Callable[[str], Path]) -> Result:
        """Run the example of the page on this server."""
        example = re.findall(r"```yaml\n(.*?)```", (PAGES / "flow.md").read_text(), re.DOTALL)[0]
        example = re.sub(r"https://(api|www)\.shop\.example", web.url, example)
        settings = config.load(write(example), variables={"SMOKE_PASSWORD": "hunter2"})
        return await run(settings.services["shop"].probes["smoke"].probe(), limit=60, clock=SystemClock())

    @pytest.mark.parametrize(
        ("path", "answer", "status", "step"),
        [
            ("/health", "", 503, "api-health"),
            ("/auth/login", "{}", 200, "login"),
            ("/api/clients", "", 500, "clients"),
            ("/sites", "", 502, "sites"),
            ("/health/database", '{"status": "unhealthy"}', 200, "database"),
            ("/health/integrations", '{"allHealthy": false}', 200, "integrations"),
        ],
    )
    async def test_what_is_not_well_is_named(
        self, web: Web, write: Callable[[str], Path], path: str, answer: str, status: int, step: str
    ) -> None:
        serve_smoke(web)
        web.say(path, answer, status=status)
        result = await self.run(web, write)
        assert result.detail.startswith(f"step {step}: ")
        assert measured(result)[f"probe_step_success{{step={step}}}"] == 0
        assert measured(result)["probe_step_duration_seconds{step=integrations}"] > 0


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=20), max_size=3),
    st.text(max_size=50),
)
def test_whatever_a_value_is_it_cannot_leave_its_place(values: dict[str, str], text: str) -> None:
    template = "".join(f"{{{name}}}" for name in values)
    assert names(template) == set(values)
    assert json.loads(fill_body(f'{{"a": "{template}"}}', values))["a"] == "".join(values.values())
    assert fill(text.replace("{", ""), values) == text.replace("{", "")
    assert not set(fill_url(f"/{template}", values)[1:]) & set("/?#&= \r\n")


@given(st.lists(st.text(alphabet="abc", min_size=1), max_size=4), st.text(alphabet="abcd"))
def test_what_is_masked_is_gone(values: list[str], text: str) -> None:
    assert not any(value in masked(text, values) for value in values)


async def test_a_flow_is_over_when_it_is_cancelled(web: Web, tcp: Callable[[Talk], Awaitable[int]]) -> None:
    hanging = {"name": "slow", "url": f"http://127.0.0.1:{await tcp(silent)}/", "timeout": "1h"}
    running = asyncio.create_task(flow(web, hanging, limit=60))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_each_step_has_a_result_of_its_own(web: Web) -> None:
    web.say("/ok", "hello")
    steps = [
        {"name": "open", "url": f"{web.url}/ok"},
        {"name": "lost", "url": f"{web.url}/nothing"},
        {"name": "pay", "url": f"{web.url}/ok", "expect": {"body": "^bye$"}},
    ]
    result = await probe(kind="flow", steps=steps, on_failure="continue")
    assert [(step.name, step.reason) for step in result.steps] == [
        ("open", None),
        ("lost", Reason.STATUS),
        ("pay", Reason.BODY),
    ]
    assert "does not match" in result.steps[2].detail
    assert all(step.duration > 0 for step in result.steps)
    stopped = await probe(kind="flow", steps=steps)
    assert [step.reason for step in stopped.steps] == [None, Reason.STATUS, Reason.SKIPPED]


async def test_a_step_that_was_not_reached_in_time_is_told(web: Web, tcp: Any) -> None:
    steps = [{"name": "hung", "url": f"http://127.0.0.1:{await tcp(silent)}/"}, {"name": "next", "url": f"{web.url}/"}]
    result, _ = await cut("processing", kind="flow", steps=steps)
    assert [(step.name, step.reason) for step in result.steps] == [
        ("hung", Reason.DEADLINE),
        ("next", Reason.SKIPPED),
    ]


async def test_a_cookie_of_one_step_is_sent_by_the_next(web: Web) -> None:
    web.say("/login", headers={"Set-Cookie": "session=abc; Path=/"})
    web.say("/orders")
    steps = [{"name": "login", "url": "/login", "method": "POST"}, {"name": "orders", "url": "/orders"}]
    for _ in range(2):
        result = await probe(kind="flow", base_url=web.url, steps=steps)
        assert result.success, result.detail
    assert [request.headers.get("Cookie") for request in web.requests] == [None, "session=abc"] * 2


@pytest.mark.parametrize("order", [("/well", "/ill"), ("/ill", "/well")])
async def test_the_worst_that_a_step_is_told_of_the_services_health_is_shown(web: Web, order: tuple[str, str]) -> None:
    web.say("/well", '{"status": "ok", "uptime": -1}')
    web.say("/ill", '{"status": "warn"}')
    steps = [{"name": path[1:], "url": path, "expect": {"format": "health"}} for path in order]
    result = await flow(web, *steps)
    assert (result.success, result.says) == (True, "warn")
    assert measured(result)["probe_application_status{status=degraded}"] == 1
    assert result.dropped == {Dropped.IMPLAUSIBLE_VALUE: 1}


async def test_a_server_that_takes_no_connection_is_told_apart_from_one_that_is_silent() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        result = await probe(0.5, kind="flow", base_url=url, steps=[{"name": "a", "url": "/"}])
    assert (result.reason, result.steps[0].reason) == (Reason.CONNECT_TIMEOUT, Reason.CONNECT_TIMEOUT)
