"""What JSON bodies say: the health body of source 003, and gauges picked by path."""

from __future__ import annotations

import json

import pytest

from deploywatch.exporter.net.http.judging import body
from deploywatch.exporter.results import Failed, Reason
from tests.exporter.support import Web, measured, probe

HEALTH = {"status": "healthy", "uptime": 86400, "version": "1.0.0", "checks": {"database": "healthy", "cache": "down"}}


async def test_a_health_body_becomes_gauges_and_info(web: Web) -> None:
    result = await probe(kind="http", url=web.say("/", json.dumps(HEALTH)), expect={"format": "health"})
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_application_info{version=1.0.0}"] == 1
    assert values["probe_application_uptime_seconds"] == 86400
    assert values["probe_application_check{check=database}"] == 1
    assert values["probe_application_check{check=cache}"] == 0
    assert result.application
    assert result.application.version == "1.0.0"


async def test_a_service_that_says_it_is_unhealthy_fails_and_names_the_checks(web: Web) -> None:
    url = web.say("/", json.dumps(HEALTH | {"status": "unhealthy"}))
    result = await probe(kind="http", url=url, expect={"format": "health"})
    assert (result.reason, result.detail) == (Reason.UNHEALTHY, "it says of itself: unhealthy (cache)")


async def test_the_version_is_read_from_an_answer_with_a_bad_status_too(web: Web) -> None:
    url = web.say("/", json.dumps(HEALTH | {"status": "unhealthy"}), status=503)
    result = await probe(kind="http", url=url, expect={"format": "health"})
    assert result.reason is Reason.STATUS
    assert result.application
    assert result.application.version == "1.0.0"


@pytest.mark.parametrize("text", ["", "<html>", "{", '{"uptime": NaN}', "\xff", "[" * 100_000])
async def test_nonsense_is_not_json(web: Web, text: str) -> None:
    result = await probe(kind="http", url=web.say("/", text.encode("latin-1")), expect={"format": "json"})
    assert result.reason is Reason.JSON


async def test_json_that_is_no_object_is_no_health_body(web: Web) -> None:
    assert (await probe(kind="http", url=web.say("/", "[]"), expect={"format": "health"})).reason is Reason.JSON


@pytest.mark.parametrize(
    "checks", [None, [], "all", {"a": {"status": "ok"}}, {"a": True}, {str(i): "ok" for i in range(500)}]
)
async def test_checks_of_other_forms_do_no_harm(web: Web, checks: object) -> None:
    url = web.say("/", json.dumps(HEALTH | {"checks": checks, "uptime": "long", "version": 3}))
    result = await probe(kind="http", url=url, expect={"format": "health"})
    assert result.success, result.detail
    assert len(result.samples) < 150


async def test_numbers_in_the_body_become_gauges(web: Web) -> None:
    url = web.say("/", json.dumps({"queues": [{"length": 3}], "open": True, "name": "x"}))
    gauges = {"queue_length": {"path": "queues.0.length", "help": "L."}, "shop_open": {"path": "open", "help": "O."}}
    result = await probe(kind="http", url=url, gauges=gauges)
    assert result.success, result.detail
    assert measured(result)["queue_length"] == 3
    assert measured(result)["shop_open"] == 1


@pytest.mark.parametrize("path", ["queues.1.length", "name", "queues", "nothing", "queues.x"])
def test_a_path_without_a_number_is_a_value_failure(path: str) -> None:
    with pytest.raises(Failed) as caught:
        list(body.pick({"queues": [{"length": 3}], "name": "x"}, path))
    assert caught.value.reason is Reason.VALUE


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("12ms", 0.012), ("0.012s", 0.012), ("12.5", 0.0125), ("7 us", 7e-6), ("", None), ("fast", None), ("-1ms", None)],
)
def test_a_response_time_header_is_read_with_its_unit(header: str, seconds: float | None) -> None:
    assert body.served_time(header) == (pytest.approx(seconds) if seconds else None)
