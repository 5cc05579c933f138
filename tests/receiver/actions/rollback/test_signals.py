"""Verified by Prometheus's numbers: good for a while, or bad; a metrics outage is neither, and said so."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.receiver.actions.rollback.signal_check import Reading, State, Streak
from deploywatch.receiver.settings.prometheus import Query, Signal
from deploywatch.receiver.story import Event
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.scene import NOON, Scene

ERRORS = {"name": "error ratio", "record": "service:errors:ratio_rate5m", "op": "<", "limit": 0.01}


@dataclass(slots=True)
class Metrics:
    """Answers queries as Prometheus does; `answers` one after another, the last for ever: a number, or None."""

    url: str = ""
    answers: list[Any] = field(default_factory=lambda: [0.001])
    asked: list[str] = field(default_factory=list)

    async def query(self, request: web.Request) -> web.Response:
        """Give the next answer."""
        self.asked.append(request.query["query"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            return web.Response(status=503, text=answer)
        values = answer if isinstance(answer, list) else [answer]
        result = [{"metric": {}, "value": [0, str(value)]} for value in values if value is not None]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest.fixture
async def metrics() -> AsyncIterator[Metrics]:
    """A Prometheus in which all is well."""
    running = Metrics()
    app = web.Application()
    app.router.add_get("/api/v1/query", running.query)
    async with TestServer(app) as server:
        running.url = str(server.make_url("")).rstrip("/")
        yield running


async def rolled_back(ground: Ground, metrics: Metrics) -> Scene:
    """A rollback that is verified by health and by the error ratio, looked at each 5 s for 20 s within a minute."""
    verify = {"signals": [ERRORS], "for": "20s"}
    scene = await ground.scene(verify=verify, beside={"prometheus": {"url": metrics.url}})
    await scene.take(critical())
    await scene.drain()
    return scene


async def test_signals_that_stay_good_prove_it(ground: Ground, metrics: Metrics) -> None:
    scene = await rolled_back(ground, metrics)
    assert await scene.lines("rollback_verified") == [
        "rollback verified: shop is healthy with 1.2.2, for 10s; error ratio is 0.001, < 0.01, for 20s"
    ]
    assert metrics.asked[0] == 'service:errors:ratio_rate5m{service="shop",environment="production"}'
    assert scene.clock.now - NOON == timedelta(seconds=20)


async def test_a_signal_that_stays_bad_is_a_failure_and_escalates(ground: Ground, metrics: Metrics) -> None:
    metrics.answers = [0.2]
    scene = await rolled_back(ground, metrics)
    assert await scene.lines("rollback_not_verified") == [
        "rollback not verified: signals not good for 20s within 1m: error ratio is 0.2, not < 0.01"
    ]
    assert Event.ROLLBACK_FAILED in scene.channels["team"].events
    assert any("could not be verified" in line for line in await scene.lines("escalated"))


async def test_after_a_bad_look_the_time_begins_anew(ground: Ground, metrics: Metrics) -> None:
    metrics.answers = [0.001, 0.001, 0.5, 0.001]
    scene = await rolled_back(ground, metrics)
    assert len(await scene.lines("rollback_verified")) == 1
    assert scene.clock.now - NOON == timedelta(seconds=35)


@pytest.mark.parametrize("silence", [None, float("nan"), "out of order"])
async def test_silence_is_neither_good_nor_bad_and_said_so(ground: Ground, metrics: Metrics, silence: Any) -> None:
    metrics.answers = [silence]
    scene = await rolled_back(ground, metrics)
    (line,) = await scene.lines("rollback_unproven")
    assert "but the metrics neither prove nor disprove it within 1m: error ratio" in line
    events = scene.channels["team"].events
    assert Event.ROLLBACK_UNKNOWN in events
    assert not {Event.ROLLBACK_FAILED, Event.ROLLBACK_SUCCEEDED} & set(events)
    assert len(await scene.lines("escalated")) == 2


async def test_an_outage_in_between_only_takes_its_time(ground: Ground, metrics: Metrics) -> None:
    metrics.answers = [0.001, 0.001, "down", "down", 0.001]
    scene = await rolled_back(ground, metrics)
    assert len(await scene.lines("rollback_verified")) == 1
    assert scene.clock.now - NOON == timedelta(seconds=35)


async def test_one_bad_series_of_several_is_bad(ground: Ground, metrics: Metrics) -> None:
    metrics.answers = [[0.001, 0.5]]
    scene = await rolled_back(ground, metrics)
    assert "error ratio is 0.5, not < 0.01" in (await scene.lines("rollback_not_verified"))[0]


async def test_without_a_prometheus_the_signals_are_silent(ground: Ground) -> None:
    scene = await ground.scene(verify={"signals": [ERRORS], "for": "20s"})
    await scene.take(critical())
    await scene.drain()
    assert "no Prometheus is configured" in (await scene.lines("rollback_unproven"))[0]


@given(st.text(), st.text())
def test_names_stay_names_in_an_expression(service: str, environment: str) -> None:
    query = Query(query='sum(rate(x{service="$service"}[5m]))')
    text = query.promql(service, environment)
    inside = text.removeprefix("sum(rate(x{service=").removesuffix("}[5m]))")
    assert inside[0] == inside[-1] == '"'
    assert inside[1:-1].replace("\\\\", "").replace('\\"', "").count('"') == 0
    assert "\n" not in text


@given(st.lists(st.sampled_from(State), max_size=30))
def test_silence_adds_no_time_and_bad_takes_all_of_it(states: list[State]) -> None:
    streak, now = Streak(), NOON
    for state in states:
        streak = streak.after(Reading(state, ""), now)
        now += timedelta(seconds=5)
    since_bad = states[len(states) - states[::-1].index(State.BAD) :] if State.BAD in states else states
    pairs = itertools.pairwise(since_bad)
    good = sum(one is other is State.GOOD for one, other in pairs)
    assert streak.lasted == timedelta(seconds=5 * good)
    assert streak.gaps is (State.SILENT in since_bad)


@pytest.mark.parametrize(("op", "good"), [("<", [0.5]), ("<=", [0.5, 1]), (">", [2]), (">=", [1, 2])])
def test_what_a_limit_lets_pass(op: str, good: list[float]) -> None:
    signal = Signal.model_validate({"record": "x", "op": op, "limit": 1})
    assert [value for value in (0.5, 1, 2) if signal.holds(value)] == good
    assert not signal.holds(float("nan"))


BAD: dict[str, dict[str, Any]] = {
    "both": {"query": "x", "record": "x"},
    "neither": {},
    "a name without quotes": {"query": "x{service=~$service}"},
    "a name within other text": {"query": 'x{service="a-$service"}'},
    "no record's name": {"record": "a b"},
    "no operator": {"record": "x", "op": "=", "limit": 1},
    "no limit": {"record": "x", "op": "<", "limit": float("nan")},
}


@pytest.mark.parametrize("name", BAD)
def test_a_signal_that_could_not_be_judged_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Signal.model_validate({"op": "<", "limit": 1, **BAD[name]})
