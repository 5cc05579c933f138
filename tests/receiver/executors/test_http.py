"""CI over HTTP: a run is started once and followed to its end; no secret shows; what is unknown is said to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.receiver.executors import registry
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from tests.receiver.executors.test_presets import VALUES
from tests.receiver.scene import MINUTE, MovingClock

TOKEN = "ghp_very-secret"
ID = VALUES["id"]


@dataclass(slots=True)
class Ci:
    """Behaves as GitHub's API: 204 for a dispatch, then a list of runs in which ours shows up and ends."""

    url: str = ""
    dispatched: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lists: int = 0
    answer: Callable[[], web.StreamResponse] = lambda: web.Response(status=204)
    conclusions: list[Any] = field(default_factory=lambda: [None, None, "success"])

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Take a dispatch."""
        self.headers.append(dict(request.headers))
        self.dispatched.append({"path": request.path, "body": await request.json()})
        return self.answer()

    async def runs(self, request: web.Request) -> web.Response:
        """List the runs, the newest first."""
        self.lists += 1
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        conclusion = self.conclusions.pop(0) if len(self.conclusions) > 1 else self.conclusions[0]
        if isinstance(conclusion, int):
            return web.Response(status=conclusion, text=f"no, {request.headers['Authorization']}")
        other = {"display_title": f"Rollback {ID}9", "conclusion": "failure", "html_url": "http://ci/other"}
        ours = {"display_title": f"Rollback {ID}", "conclusion": conclusion, "html_url": "http://ci/ours"}
        return web.json_response({"workflow_runs": [other] if conclusion == "missing" else [other, ours]})


@pytest.fixture
async def ci() -> AsyncIterator[Ci]:
    """A CI server."""
    running = Ci()
    app = web.Application()
    path = "/repos/acme/shop/actions/workflows/rollback.yml"
    app.router.add_post(f"{path}/dispatches", running.dispatch)
    app.router.add_get(f"{path}/runs", running.runs)
    async with TestServer(app) as server:
        running.url = str(server.make_url("")).rstrip("/")
        yield running


def github(ci: Ci, **more: Any) -> RollbackChoice:
    """The settings for it."""
    given = {"repository": "acme/shop", "workflow": "rollback.yml", "token": TOKEN, "api": ci.url, **more}
    return RollbackChoice.model_validate({"github": given, "timeout": "5m"})


async def perform(choice: RollbackChoice, clock: MovingClock, limit: timedelta = 5 * MINUTE) -> Result:
    """Do what the settings say; pauses move the clock."""
    async with aiohttp.ClientSession() as http:
        return await registry.perform(choice.plan(VALUES), Means(http, clock, clock.sleep), limit)


async def test_a_workflow_is_dispatched_once_and_followed_to_its_end(ci: Ci, clock: MovingClock) -> None:
    result = await perform(github(ci), clock)
    assert result == Result(good=True, detail="the run ended with success: http://ci/ours")
    assert ci.dispatched == [
        {
            "path": "/repos/acme/shop/actions/workflows/rollback.yml/dispatches",
            "body": {
                "ref": "main",
                "inputs": {"environment": "production", "version": "1.2.2", "deploywatch_id": ID},
            },
        }
    ]
    assert ci.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert ci.headers[0]["Accept"] == "application/vnd.github+json"
    assert ci.lists == 3


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "startup_failure", "skipped", "stale"])
async def test_a_run_that_ends_otherwise_is_a_failure(ci: Ci, clock: MovingClock, conclusion: str) -> None:
    ci.conclusions = [None, conclusion]
    result = await perform(github(ci), clock)
    assert result == Result(good=False, detail=f"the run ended with {conclusion}: http://ci/ours")


async def test_a_run_that_does_not_end_in_time_is_unknown(ci: Ci, clock: MovingClock) -> None:
    ci.conclusions = [None]
    result = await perform(github(ci), clock)
    assert result == Result(good=False, detail="the run had not ended at its time limit: http://ci/ours", known=False)


async def test_a_run_that_never_appears_is_unknown(ci: Ci, clock: MovingClock) -> None:
    ci.conclusions = ["missing"]
    result = await perform(github(ci), clock)
    assert result == Result(
        good=False, detail="the run had not ended at its time limit: the run did not appear", known=False
    )


async def test_trouble_while_following_is_waited_out(ci: Ci, clock: MovingClock) -> None:
    ci.conclusions = [502, 429, 404, None, "success"]
    assert (await perform(github(ci), clock)).good


async def test_a_token_that_no_longer_counts_ends_the_following(ci: Ci, clock: MovingClock) -> None:
    ci.conclusions = [401]
    result = await perform(github(ci), clock)
    assert (result.known, result.detail) == (False, "the run cannot be followed: HTTP 401")


REFUSALS: dict[int, bool] = {401: True, 404: True, 422: True, 301: True, 500: False, 503: False}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_dispatch_that_is_refused_is_not_tried_again(ci: Ci, clock: MovingClock, status: int) -> None:
    ci.answer = lambda: web.Response(status=status, text=f"no {TOKEN}", headers={"Location": "http://127.0.0.1:1/"})
    result = await perform(github(ci), clock)
    assert (result.good, result.known) == (False, REFUSALS[status])
    assert result.detail == f"the run was not started: HTTP {status}: no ***"
    assert len(ci.dispatched) == 1


async def test_a_dispatch_whose_answer_is_lost_is_unknown(ci: Ci, clock: MovingClock) -> None:
    def lost() -> web.StreamResponse:
        raise asyncio.CancelledError  # the connection is closed without an answer

    ci.answer = lost
    result = await perform(github(ci), clock)
    assert not result.known
    assert result.detail.startswith("whether the run started is unknown: ")
    assert len(ci.dispatched) == 1


async def test_a_server_that_cannot_be_reached_started_nothing(clock: MovingClock) -> None:
    result = await perform(github(Ci(url="http://127.0.0.1:1")), clock)
    assert (result.good, result.known) == (False, True)
    assert result.detail.startswith("the run was not started: ClientConnectorError")


async def test_the_token_shows_nowhere(ci: Ci) -> None:
    choice = github(ci)
    assert TOKEN not in repr(choice)
    assert TOKEN not in str(choice.plan(VALUES))
    assert '"version": "1.2.2"' in str(choice.plan(VALUES))


async def test_any_ci_can_be_described(ci: Ci, clock: MovingClock) -> None:
    workflow = f"{ci.url}/repos/acme/shop/actions/workflows/rollback.yml"
    ci.answer = lambda: web.json_response({"build": {"number": 7}}, status=201)
    choice = RollbackChoice.model_validate(
        {
            "http": {
                "url": f"{workflow}/dispatches",
                "token": TOKEN,
                "headers": {"X-Team": "shop"},
                "body": {"version": "{to_version}", "parameters": [{"name": "id", "value": "{id}"}]},
                "follow": {
                    "url": f"{workflow}/runs?build={{run}}",
                    "run": "build.number",
                    "state": "workflow_runs.1.conclusion",
                    "interval": "10s",
                },
            }
        }
    )
    assert await perform(choice, clock) == Result(good=True, detail="the run ended with success")
    assert ci.dispatched[0]["body"]["parameters"] == [{"name": "id", "value": ID}]
    assert ci.headers[0]["X-Team"] == "shop"


async def test_without_following_the_answer_is_the_result(ci: Ci, clock: MovingClock) -> None:
    url = f"{ci.url}/repos/acme/shop/actions/workflows/rollback.yml/dispatches"
    choice = RollbackChoice.model_validate({"http": {"url": url}})
    assert await perform(choice, clock) == Result(good=True, detail="HTTP 204")


BAD = {
    "a placeholder nobody fills": ({"url": "http://ci/{version}"}, "unknown {version}"),
    "a placeholder in the body": ({"url": "http://ci/", "body": {"a": [{"b": "{nope}"}]}}, "unknown {nope}"),
    "one of another action": ({"url": "http://ci/", "body": {"a": "{replicas}"}}, "which is not known here"),
    "credentials in the URL": ({"url": "http://u:p@ci/"}, "must not carry credentials"),
    "no URL": ({"url": "ci"}, "write a URL that begins with http"),
    "a header with a line break": ({"url": "http://ci/", "headers": {"X": "a\r\nb"}}, "String should match"),
    "two ways": ({"url": "http://ci/"}, "write exactly one of .*; not command and http"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_of_the_settings_is_told(name: str) -> None:
    written, said = BAD[name]
    more = {"command": ["deploy"]} if name == "two ways" else {}
    with pytest.raises(ValueError, match=said):
        RollbackChoice.model_validate({"http": written, **more})


@pytest.mark.parametrize("value", ["a b", "{id}", "../x", "a\r\nX-Evil: 1", "a?b#c"])
def test_no_value_changes_the_request(value: str) -> None:
    choice = RollbackChoice.model_validate({"http": {"url": "http://ci/{service}"}})
    with pytest.raises(ValueError, match="has characters that are not passed"):
        choice.plan({**VALUES, "service": value})
