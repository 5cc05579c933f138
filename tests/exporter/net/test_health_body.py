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
SOURCE_000_OF_DEPLOYMENTS = {
    "deploymentId": "7",
    "overallHealth": True,
    "databaseHealth": {"isHealthy": False, "message": "no connection"},
    "redisHealth": {"isHealthy": True, "message": "Redis health check passed"},
}
SPRING_1 = {"status": "UP", "db": {"status": "DOWN", "database": "H2"}, "diskSpace": {"status": "UP", "total": 1}}
SPRING_2_0 = {"status": "UP", "details": {"db": {"status": "UP", "details": {"replica": {"status": "DOWN"}}}}}
MICROPROFILE_1 = {"outcome": "UP", "checks": [{"name": "db", "state": "UP"}, {"name": "mail", "state": "DOWN"}]}
HEALTH_GO = {"status": "Partially Available", "failures": {"db": "timeout"}, "system": {"version": "go1.22"}}
BY_OTHER_NAMES = {
    "status": "ok",
    "checks": [{"id": "a", "ok": True}, {"component": "b", "state": "down"}, {"connected": False}],
}
# Spatie's for Laravel, which has no status of the whole, here below one; fastapi-health's.
SPATIE = {
    "status": "ok",
    "checkResults": [
        {"name": "Database", "status": "ok"},
        {"name": "Queue", "status": "warning"},
        {"name": "Horizon", "status": "crashed"},
        {"name": "Backup", "status": "asleep"},
    ],
}
FASTAPI = {"status": "Healthy", "entities": [{"alias": "db", "status": "Unhealthy", "timeTaken": 0.1, "tags": []}]}
DEEP: dict[str, Any] = {"status": "DOWN"}
for level in "edcba":
    DEEP = {"components": {level: DEEP}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (IETF, {"db": 1, "cache:responseTime": 0, "cpu:utilization": 1, "memory:utilization": 1}),
        (SPRING, {"db": 1, "db/primary": 1, "db/replica": 0, "diskSpace": 0, "odd": 0}),
        (ASP_NET, {"sql": 1, "redis": 0}),
        (MICROPROFILE, {"db": 1, "mail": 0}),
        (TERMINUS, {"db": 1, "disk": 0}),
        (SOURCE_000, {"database": 1, "redis": 0, "externaldependencies": 1}),
        (SOURCE_000_OF_DEPLOYMENTS, {"databasehealth": 0, "redishealth": 1}),
        (SPRING_1, {"db": 0, "diskspace": 1}),
        (SPRING_2_0, {"db": 1, "db/replica": 0}),
        (MICROPROFILE_1, {"db": 1, "mail": 0}),
        (HEALTH_GO, {"db": 0}),
        (BY_OTHER_NAMES, {"a": 1, "b": 0, "2": 0}),
        (SPATIE, {f"checkresults/{n}": w for n, w in {"Database": 1, "Queue": 1, "Horizon": 0, "Backup": 0}.items()}),
        (FASTAPI, {"entities/db": 0}),
        ({"status": "UP"} | DEEP, {"a/b/c/d/e": 0}),
    ],
    ids=[
        *("ietf", "spring", "asp.net", "microprofile", "terminus", "000", "000-deployment", "spring 1", "spring 2.0"),
        *("microprofile 1", "health-go", "other names", "spatie", "fastapi", "deep"),
    ],
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
        {"status": "ok", "Status": "down"},
        {"status": "healthy", "allHealthy": False},
        {"healthy": False},
        {"status": {"code": "DOWN"}},
        "Unhealthy",
        '"Unhealthy"',
        "false",
    ],
    ids=str,
)
async def test_a_body_that_does_not_say_that_it_is_well_is_not_well(web: Web, body: Any) -> None:
    result = await told(web, body)
    assert result.reason is Reason.UNHEALTHY, result.detail
    assert measured(result)["probe_application_status{status=unhealthy}"] == 1


@pytest.mark.parametrize(
    "body",
    [
        *("Healthy", "Degraded", '"Healthy"', {"status": "UP"}, {"status": True}, {"Status": "Ready"}),
        *({"healthy": True}, {"outcome": "UP"}, {"status": {"code": "UP"}}),
    ],
    ids=str,
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
        (IETF, State.DEGRADED, "pass, but not well: cache:responseTime; degraded: cpu:utilization"),
        ({"status": "ok", "checks": {"a": {"status": "sleepy"}}}, State.DEGRADED, "ok, but not well: a"),
        ({"status": "ok", "checks": {"a": {"status": "warn"}}}, State.DEGRADED, "ok, but degraded: a"),
        ({"status": "warn", "checks": {"a": {"status": "fail"}}}, State.DEGRADED, "warn (a)"),
        ({"status": "UP", "db": {"status": "DOWN"}}, State.DEGRADED, "UP, but not well: db"),
        ({"status": "OK", "failures": {"db": "boom"}}, State.DEGRADED, "OK, but not well: db"),
        ({"status": "ok", "services": {"db": "down"}}, State.DEGRADED, "ok, but not well: db"),
        ({"status": "ok", "upstreams": [{"id": "a", "up": False}]}, State.DEGRADED, "ok, but not well: upstreams/a"),
        ({"status": "ok", "details": {"a": {"status": "sleepy"}}}, State.DEGRADED, "ok, but not well: a"),
        ({"status": "ok", "details": {"region": "eu", "free": 1}}, State.HEALTHY, "ok"),
        ({"status": "ok", "db": False, "cache": True}, State.DEGRADED, "ok, but not well: db"),
        ({"ok": True, "Redis": False}, State.DEGRADED, "True, but not well: redis"),
        ({"status": "UP", "errors": True}, State.DEGRADED, "UP, but not well: errors"),
        ({"status": "ok", "database": None, "checks": {"db": None}}, State.DEGRADED, "ok, but not well: db"),
        ({"status": "ok", "debug": False, "leader": False, "maintenance": True, "errors": []}, State.HEALTHY, "ok"),
        ({"status": "ok", "failed": False, "db": True}, State.HEALTHY, "ok"),
        # Elasticsearch's and OpenSearch's.
        ({"cluster_name": "c", "status": "green", "timed_out": False, "number_of_nodes": 3}, State.HEALTHY, "green"),
        ({"cluster_name": "c", "status": "green", "timed_out": True}, State.DEGRADED, "green, but not well: timed_out"),
        ({"status": "ok", "checks": {"a": {"status": "up"}}}, State.HEALTHY, "ok"),
    ],
)
async def test_who_is_well_with_a_part_that_is_not_is_degraded(web: Web, body: Any, state: State, says: str) -> None:
    result = await told(web, body)
    assert result.success
    assert result.application
    assert (result.application.state, result.application.status) == (state, says)


async def test_a_flag_that_the_config_calls_a_fact_is_no_check(web: Web) -> None:
    url = web.say("/health", '{"status": "ok", "Sharded": false, "flavour": "down"}')
    expect = {"format": "health", "health": {"facts": ["sharded", "Flavour"]}}
    result = await probe(kind="http", url=url, expect=expect)
    assert result.application
    assert (result.application.state, checks(result)) == (State.HEALTHY, {})


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


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        ({"checks": ["db is ok"]}, {Dropped.UNREAD_CHECK: 1}),
        ({"checks": "all good"}, {Dropped.UNREAD_CHECK: 1}),
        ({"db": {"status": "sleepy"}}, {Dropped.UNREAD_CHECK: 1}),
        ({"parts": {"db": {"status": "sleepy"}}}, {Dropped.UNREAD_CHECK: 1}),
        ({"parts": {"db": "ok", "cache": "sleepy"}}, {Dropped.UNREAD_CHECK: 1}),
        ({"uptime": -5}, {Dropped.IMPLAUSIBLE_VALUE: 1}),
        ({"uptime": "three days"}, {Dropped.IMPLAUSIBLE_VALUE: 1}),
        ({"checks": {"uptime": [{"observedValue": 1, "observedUnit": "moons"}]}}, {Dropped.IMPLAUSIBLE_VALUE: 1}),
        (
            {"checks": {"memory:utilization": [{"observedValue": 1, "observedUnit": "?"}]}},
            {Dropped.IMPLAUSIBLE_VALUE: 1},
        ),
    ],
)
async def test_what_cannot_be_read_is_counted(web: Web, body: Any, dropped: Any) -> None:
    result = await told(web, {"status": "ok"} | body)
    assert result.success
    assert result.dropped == dropped


async def test_of_checks_whose_names_look_alike_the_worse_counts(web: Web) -> None:
    result = await told(web, {"status": "ok", "checks": {"a\nb": "down", "a b": "ok", "b\tc": "ok", "b c": "down"}})
    assert checks(result) == {"a b": 0, "b c": 0}


async def test_checks_nested_deeper_than_is_read_are_counted(web: Web) -> None:
    body: dict[str, Any] = {"status": "DOWN"}
    for _ in range(20):
        body = {"components": {"a": body}}
    assert (await told(web, {"status": "ok"} | body)).dropped == {Dropped.UNREAD_CHECK: 1}


@pytest.mark.parametrize(
    ("body", "metric", "value"),
    [
        ({"uptime": "1.02:03:04.5"}, "uptime_seconds", 93_784.5),
        ({"uptime": "90"}, "uptime_seconds", 90),
        (
            {"checks": {"memory:utilization": [{"observedValue": 85, "observedUnit": "percent"}]}},
            "memory_ratio",
            0.85,
        ),
        ({"cpuUsage": {"user": 1_000_000, "system": 2_000_000}}, "cpu_seconds_total", 3),
        (
            {"checks": {"db:responseTime": [{"status": "pass", "observedValue": 250, "observedUnit": "ms"}]}},
            "check_duration_seconds{check=db:responseTime}",
            0.25,
        ),
        ({"entries": {"a": {"status": "ok", "duration": "1.00:00:01"}}}, "check_duration_seconds{check=a}", 86_401),
    ],
)
async def test_what_is_measured_is_read_as_its_form_writes_it(web: Web, body: Any, metric: str, value: float) -> None:
    result = await told(web, {"status": "ok"} | body, cpu="us")
    assert measured(result)[f"probe_application_{metric}"] == value
    assert result.dropped == {}


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
    assert result.detail == "it says of itself: unhealthy (cache: timeout, database: no connection, disk: full)"
    values = measured(result)
    begin = "probe_application_check_duration_seconds"
    assert {name: value for name, value in values.items() if name.startswith(begin)} == {
        f"{begin}{{check=database}}": 0.012,
        f"{begin}{{check=redis}}": 0.0005,
        f"{begin}{{check=disk}}": 1.5,
    }
