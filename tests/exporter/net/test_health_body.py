"""What services say of their own health, in the forms that people have, over a real HTTP server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploywatch.exporter.results import Dropped, Reason, Result, State
from tests.exporter.support import Web, measured, probe


async def told(web: Web, body: Any, *, status: int = 200, **health: str) -> Result:
    """Probe a service that says this of itself."""
    text = body if isinstance(body, str) else json.dumps(body)
    return await probe(
        kind="http", url=web.say("/health", text, status=status), expect={"format": "health", "health": health}
    )


def checks(result: Result) -> dict[str, float]:
    """The checks by name, as they are exposed."""
    begin = "probe_application_check{check="
    return {n.removeprefix(begin)[:-1]: value for n, value in measured(result).items() if n.startswith(begin)}


IETF = {
    "status": "pass",
    "releaseId": "1.2.2",
    "checks": {
        "db": [{"status": "pass"}],
        "cache:responseTime": [{"status": "pass"}, {"status": "fail", "output": "no answer"}],
        "uptime": [{"observedValue": 12.5, "observedUnit": "min"}],
        "cpu:utilization": [{"observedValue": 85, "observedUnit": "percent", "status": "warn"}],
        "memory:utilization": [{"observedValue": 2, "observedUnit": "MiB", "status": "pass"}],
    },
}
SPRING = {
    "status": "UP",
    "components": {
        "db": {"status": "UP", "components": {"primary": {"status": "UP"}, "replica": {"status": "DOWN"}}},
        "diskSpace": {"status": "OUT_OF_SERVICE", "details": {"free": 1}},
        "odd": {"status": "UNKNOWN"},
    },
}
ASP_NET = {
    "status": "Healthy",
    "totalDuration": "00:00:00.05",
    "entries": {"sql": {"status": "Healthy", "duration": "00:00:00.03"}, "redis": {"status": "Unhealthy"}},
}
MICROPROFILE = {"status": "UP", "checks": [{"name": "db", "status": "UP"}, {"name": "mail", "status": "DOWN"}]}
TERMINUS = {"status": "ok", "info": {}, "error": {}, "details": {"db": {"status": "up"}, "disk": {"status": "down"}}}
SOURCE_000 = {
    "Status": "Healthy",
    "Timestamp": "2026-01-26T00:00:00Z",
    "Version": "1.4",
    "Environment": "Production",
    "Database": "Healthy",
    "Redis": "Unhealthy",
    "ExternalDependencies": "Healthy",
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (IETF, {"db": 1, "cache:responseTime": 0, "cpu:utilization": 1, "memory:utilization": 1}),
        (SPRING, {"db": 1, "db/primary": 1, "db/replica": 0, "diskSpace": 0, "odd": 0}),
        (ASP_NET, {"sql": 1, "redis": 0}),
        (MICROPROFILE, {"db": 1, "mail": 0}),
        (TERMINUS, {"db": 1, "disk": 0}),
        (SOURCE_000, {"database": 1, "redis": 0, "externaldependencies": 1}),
    ],
    ids=["ietf", "spring", "asp.net", "microprofile", "terminus", "000"],
)
async def test_each_check_of_each_form_is_read(web: Web, body: Any, expected: dict[str, float]) -> None:
    result = await told(web, body)
    assert result.success, result.detail
    assert checks(result) == expected


async def test_what_ietf_measures_is_read_in_its_units(web: Web) -> None:
    values = measured(await told(web, IETF))
    assert values["probe_application_info{version=1.2.2}"] == 1
    assert values["probe_application_uptime_seconds"] == 750
    assert values["probe_application_cpu_ratio"] == 0.85
    assert values["probe_application_memory_bytes"] == 2 * 2**20


async def test_source_004s_units_are_told_by_setting(web: Web) -> None:
    body = {
        "service": "wix",
        "status": "healthy",
        "version": "2.0",
        "uptime": 3_946_063,
        "dependencies": [{"name": "database", "status": "healthy", "responseTime": 3}],
        "metrics": {"memoryUsage": {"rss": 1000}, "cpuUsage": 24_000, "activeConnections": 7, "errorRate": 2},
    }
    values = measured(await told(web, body, uptime="ms", cpu="us", errors="percent"))
    assert values["probe_application_uptime_seconds"] == 3946.063
    assert values["probe_application_cpu_seconds_total"] == 0.024
    assert values["probe_application_error_ratio"] == 0.02
    assert "probe_application_cpu_ratio" not in values


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Status": "Unhealthy"},
        {"status": None},
        {"status": "starting"},
        {"status": 1},
        {"status": False},
        {"checks": {"db": [{"status": "pass"}]}},
        "Unhealthy",
    ],
    ids=str,
)
async def test_a_body_that_does_not_say_that_it_is_well_is_not_well(web: Web, body: Any) -> None:
    result = await told(web, body)
    assert result.reason is Reason.UNHEALTHY, result.detail
    assert measured(result)["probe_application_status{status=unhealthy}"] == 1


@pytest.mark.parametrize(
    "body", ["Healthy", "Degraded", {"status": "UP"}, {"status": True}, {"Status": "Ready"}], ids=str
)
async def test_a_body_that_says_so_is_well(web: Web, body: Any) -> None:
    assert (await told(web, body)).success


@pytest.mark.parametrize("word", ["degraded", "Degraded", "warn"])
async def test_degraded_is_a_state_of_its_own_and_still_serves(web: Web, word: str) -> None:
    result = await told(web, {"status": word})
    assert result.success
    assert result.application
    assert result.application.state is State.DEGRADED
    states = {n: v for n, v in measured(result).items() if n.startswith("probe_application_status")}
    assert states == {
        "probe_application_status{status=healthy}": 0,
        "probe_application_status{status=degraded}": 1,
        "probe_application_status{status=unhealthy}": 0,
    }


@pytest.mark.parametrize(
    ("body", "state", "says"),
    [
        ({"status": "ok", "checks": {"a": {"status": "DOWN"}}}, State.DEGRADED, "ok, but not well: a"),
        ({"status": "Healthy", "database": "Unhealthy"}, State.DEGRADED, "Healthy, but not well: database"),
        (IETF, State.DEGRADED, "pass, but not well: cache:responseTime"),
        ({"status": "ok", "checks": {"a": {"status": "sleepy"}}}, State.DEGRADED, "ok, but not well: a"),
        ({"status": "ok", "checks": {"a": {"status": "warn"}}}, State.HEALTHY, "ok"),
        ({"status": "ok", "checks": {"a": {"status": "up"}}}, State.HEALTHY, "ok"),
    ],
)
async def test_who_is_well_with_a_part_that_is_not_is_degraded(web: Web, body: Any, state: State, says: str) -> None:
    result = await told(web, body)
    assert result.success
    assert result.application
    assert (result.application.state, result.application.status) == (state, says)


async def test_what_a_bad_answer_says_of_itself_is_kept(web: Web) -> None:
    body = {"status": "unhealthy", "checks": {"database": "down"}, "error": "no connection"}
    result = await told(web, body, status=503)
    assert (result.reason, result.detail) == (
        Reason.STATUS,
        "status 503, not 2xx; it says of itself: unhealthy (database): no connection",
    )
    assert checks(result) == {"database": 0}


async def test_checks_beyond_the_limit_are_counted_and_the_bad_ones_kept(web: Web) -> None:
    body = {"status": "ok", "checks": {f"c{number}": "ok" for number in range(150)} | {"last": "down"}}
    result = await told(web, body)
    assert (len(checks(result)), checks(result)["last"]) == (100, 0)
    assert result.dropped == {Dropped.CHECK_LIMIT: 51}


async def test_what_cannot_be_is_left_out_and_counted(web: Web) -> None:
    result = await told(web, {"status": "ok", "cpuUsage": 1e9, "errorRate": 40, "activeConnections": "many"})
    assert not any("_ratio" in name for name in measured(result))
    assert result.dropped == {Dropped.IMPLAUSIBLE_VALUE: 3}


async def test_what_checks_say_of_their_time_and_trouble_is_told(web: Web) -> None:
    body = {
        "status": "unhealthy",
        "dependencies": [
            {"name": "database", "status": "unhealthy", "responseTime": 12, "error": "no connection"},
            {"name": "redis", "status": "healthy", "responseTime": 0.5},
        ],
        "entries": {"disk": {"status": "Unhealthy", "duration": "00:00:01.5", "description": "full"}},
        "checks": {"cache": [{"status": "fail", "output": "timeout"}]},
    }
    result = await told(web, body)
    assert result.detail == ("it says of itself: unhealthy (database: no connection, disk: full, cache: timeout)")
    values = measured(result)
    begin = "probe_application_check_duration_seconds"
    assert {name: value for name, value in values.items() if name.startswith(begin)} == {
        f"{begin}{{check=database}}": 0.012,
        f"{begin}{{check=redis}}": 0.0005,
        f"{begin}{{check=disk}}": 1.5,
    }
