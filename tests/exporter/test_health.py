"""The judgment on services: healthy, degraded, unhealthy, unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.health.probes import ProbeHealth, Status, worst
from deploywatch.exporter.health.services import judge, judged, services, whole
from deploywatch.exporter.results import Application, Family, Reason, Result, Sample, State
from deploywatch.exporter.targets import Key

GOOD = Result(1_700_000_000.5, 0.01)
BAD = Result(1_700_000_001.5, 0.02, Reason.DNS, "the name does not resolve")
H, D, B, U = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.UNKNOWN


def probes(service: str, *results: Result | None) -> list[ProbeHealth]:
    return [ProbeHealth(Key(service, "test", f"p{n}"), "http", result) for n, result in enumerate(results)]


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([GOOD, GOOD], H),
        ([GOOD, BAD], D),
        ([GOOD, GOOD, BAD], D),
        ([GOOD, BAD, BAD], B),
        ([BAD], B),
        ([BAD, None], D),
        ([GOOD, None], U),
        ([None], U),
    ],
)
def test_up_to_half_may_fail_in_a_degraded_service(results: list[Result | None], status: Status) -> None:
    assert services(probes("shop", *results), {})[ServiceKey("shop", "test")].status is status


@pytest.mark.parametrize(("status", "code"), [(H, 200), (D, 200), (B, 503), (U, 503)])
def test_a_degraded_service_still_serves(status: Status, code: int) -> None:
    assert status.http == code


@pytest.mark.parametrize(("parts", "whole"), [([H, H], H), ([H, D], D), ([D, U], U), ([U, B], B), ([], U)])
def test_the_whole_is_as_its_worst_part(parts: list[Status], whole: Status) -> None:
    assert worst(parts) is whole


def test_nothing_known_is_unknown_and_not_healthy() -> None:
    assert judge([]) is U


def test_a_failing_dependency_degrades_and_is_named() -> None:
    listed = services(
        [*probes("shop", GOOD, GOOD), *probes("billing", BAD)], {ServiceKey("shop", "test"): ("billing",)}
    )
    shop = listed[ServiceKey("shop", "test")]
    assert shop.status is D
    assert shop.body()["dependencies"] == {
        "billing": {
            "status": "unhealthy",
            "response_time_seconds": 0.02,
            "last_checked": "2023-11-14T22:13:21.500Z",
            "error": "p0: dns: the name does not resolve",
        }
    }


def test_a_dependency_that_nothing_is_known_of_is_unknown() -> None:
    listed = services(probes("shop", GOOD), {ServiceKey("shop", "test"): ("billing",)})
    assert listed[ServiceKey("shop", "test")].dependencies["billing"].body() == {
        "status": "unknown",
        "response_time_seconds": None,
        "last_checked": None,
        "error": None,
    }


def test_what_a_service_says_of_its_resources_is_told() -> None:
    said = tuple(
        Sample(Family(f"probe_application_{name}", "gauge", "Help."), value)
        for name, value in (("memory_bytes", 5e8), ("cpu_ratio", 0.4), ("uptime_seconds", 7))
    )
    listed = services(probes("shop", Result(1.0, 0.5, samples=said)), {})[ServiceKey("shop", "test")]
    assert listed.body()["resources"] == {"memory_bytes": 5e8, "cpu_ratio": 0.4}


def test_services_that_depend_on_each_other_are_judged_all_the_same() -> None:
    circle = {ServiceKey("a", "test"): ("b",), ServiceKey("b", "test"): ("a",)}
    listed = services([*probes("a", GOOD), *probes("b", GOOD)], circle)
    assert {one.status for one in listed.values()} == {H}


def test_the_body_says_what_failed_and_when_it_was_looked_at() -> None:
    told = Result(1_700_000_002.0, 0.5, application=Application("healthy", "1.2.2", 86400.0))
    body = services(probes("shop", told, GOOD, BAD), {})[ServiceKey("shop", "test")].body()
    assert body == {
        "service": "shop",
        "environment": "test",
        "status": "degraded",
        "version": "1.2.2",
        "uptime_seconds": 86400.0,
        "last_checked": "2023-11-14T22:13:20.500Z",
        "probes": {
            "p0": {
                "status": "healthy",
                "kind": "http",
                "response_time_seconds": 0.5,
                "last_checked": "2023-11-14T22:13:22.000Z",
            },
            "p1": {
                "status": "healthy",
                "kind": "http",
                "response_time_seconds": 0.01,
                "last_checked": "2023-11-14T22:13:20.500Z",
            },
            "p2": {
                "status": "unhealthy",
                "kind": "http",
                "reason": "dns",
                "detail": "the name does not resolve",
                "response_time_seconds": 0.02,
                "last_checked": "2023-11-14T22:13:21.500Z",
            },
        },
        "dependencies": {},
        "resources": {},
    }


def required(service: str, *results: Result | None) -> list[ProbeHealth]:
    return [replace(probe, required=True) for probe in probes(service, *results)]


@pytest.mark.parametrize(
    ("optional", "needed", "status"),
    [
        ([GOOD, GOOD], [GOOD], H),
        ([GOOD, GOOD], [BAD], B),
        ([GOOD, GOOD], [None], U),
        ([GOOD, BAD], [GOOD], D),
        ([GOOD, BAD, GOOD], [None], U),
    ],
)
def test_a_service_cannot_do_without_what_is_required(
    optional: list[Result | None], needed: list[Result | None], status: Status
) -> None:
    together = [*probes("shop", *optional), *required("shop", *needed)]
    assert judged(together) is status


def test_a_probe_that_was_only_now_added_is_unknown_alone() -> None:
    new = [replace(probe, new=True) for probe in probes("shop", None)]
    listed = services([*probes("shop", GOOD), *new, *(replace(p, new=True) for p in probes("added", None))], {})
    assert listed[ServiceKey("shop", "test")].status is H
    assert listed[ServiceKey("added", "test")].status is U
    assert new[0].status is U
    assert whole(listed.values()) is H


def test_a_dependency_that_was_only_now_added_is_unknown_alone() -> None:
    new = [replace(probe, new=True) for probe in probes("db", None)]
    needs = {ServiceKey("shop", "test"): ("db",)}
    listed = services([*probes("shop", GOOD), *new], needs)
    assert listed[ServiceKey("shop", "test")].status is H
    assert listed[ServiceKey("shop", "test")].body()["dependencies"]["db"]["status"] == "unknown"
    assert services([*probes("shop", GOOD), *probes("db", None)], needs)[ServiceKey("shop", "test")].status is U


def test_a_service_that_says_it_is_degraded_is() -> None:
    said = Result(1.0, 0.5, application=Application("degraded", state=State.DEGRADED))
    (probe,) = probes("shop", said)
    assert probe.status is D
    assert probe.body()["says"] == "degraded"
    assert services([probe], {})[ServiceKey("shop", "test")].status is D


def test_what_depends_on_a_service_is_told_however_far_away() -> None:
    needs = {
        ServiceKey("web", "test"): ("shop",),
        ServiceKey("shop", "test"): ("db",),
        ServiceKey("db", "test"): ("web",),
    }
    listed = services([*probes("db", BAD), *probes("shop", GOOD), *probes("web", GOOD)], needs)
    assert listed[ServiceKey("db", "test")].body()["dependents"] == ["shop", "web"]


def test_the_facts_are_in_the_body() -> None:
    (probe,) = probes("shop", BAD)
    body = replace(probe, target="https://shop.example/", failing_since=1_700_000_000.0).body()
    assert (body["target"], body["failing_since"]) == ("https://shop.example/", "2023-11-14T22:13:20.000Z")
