"""The sample shop answers as the version that it was started as, with that version's fault and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from redis import Redis

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from tests.demo.conftest import DEMO, Shop, ask
from tests.support import forked

READS = ["/api/queues", "/api/user-sessions", "/api/tenants", "/api/health"]


def test_health_says_status_uptime_version_and_checks(shop: Shop) -> None:
    status, headers, text = shop("1.2.2").get("/health")
    health = json.loads(text)
    assert status == 200
    assert health.pop("uptime") >= 0
    assert health == {
        "status": "healthy",
        "version": "1.2.2",
        "checks": {"database": "healthy", "cache": "healthy"},
    }
    assert re.fullmatch(r"\d+\.\d+ms", headers["x-response-time"])


def test_every_request_is_counted_and_timed_by_endpoint(shop: Shop) -> None:
    served = shop("1.2.2")
    for path in READS:
        for _ in range(5):
            assert served.get(path)[0] == 200
        labels = {"service": "shop", "environment": "demo", "method": "GET", "endpoint": path}
        assert served.metric("http_requests_total", status="200", **labels) == 5
        assert served.metric("http_request_duration_seconds_count", **labels) == 5
        assert served.metric("http_request_duration_seconds_bucket", le="0.5", **labels) == 5


def test_an_unknown_path_is_counted_without_its_name(shop: Shop) -> None:
    served = shop("1.2.2")
    assert served.get("/no/such/page")[0] == 404
    assert served.metric("http_requests_total", endpoint="unknown", status="404") == 1


@pytest.mark.parametrize("version", ["1.2.2", "1.2.5"])
def test_a_good_release_answers_every_request(shop: Shop, version: str) -> None:
    served = shop(version)
    assert {served.get(path)[0] for path in READS for _ in range(60)} == {200}
    assert served.metric("http_requests_total", status="500") == 0


@pytest.mark.parametrize("path", READS)
def test_1_2_3_fails_every_twentieth_request_of_an_endpoint(shop: Shop, path: str) -> None:
    served = shop("1.2.3")
    answers = [served.get(path)[0] for _ in range(60)]
    assert answers == ([200] * 19 + [500]) * 3
    assert served.metric("http_requests_total", endpoint=path, status="500") == 3
    assert "cache_refreshes" in served.child.log.read_text()
    assert served.get("/health")[0] == 200


@pytest.mark.parametrize("path", READS)
def test_1_2_4_fails_every_33rd_request_of_an_endpoint(shop: Shop, path: str) -> None:
    served = shop("1.2.4")
    answers = [served.get(path)[0] for _ in range(66)]
    assert answers.count(500) == 2
    assert answers[31] == answers[64] == 500
    assert served.get("/health")[0] == 200


def test_1_3_0_reads_user_sessions_slowly(shop: Shop) -> None:
    served = shop("1.3.0")
    assert served.get("/api/user-sessions")[0] == 200
    assert served.get("/api/tenants")[0] == 200
    slow = "http_request_duration_seconds_bucket"
    assert served.metric(slow, endpoint="/api/user-sessions", le="2.0") == 0
    assert served.metric(slow, endpoint="/api/user-sessions", le="5.0") == 1
    assert served.metric(slow, endpoint="/api/tenants", le="0.5") == 1


def test_1_2_2_lets_people_in(shop: Shop, cache: Redis) -> None:
    served = shop("1.2.2")
    assert ask(f"{served.url}/api/queues?queue=2", "POST")[0] == 201
    wait_until(lambda: cache.llen("queue:2") == 0, within=90, what="let people in")


def test_1_3_1_lets_nobody_in(shop: Shop, cache: Redis) -> None:
    served = shop("1.3.1")
    for place in range(1, 11):
        status, _, text = ask(f"{served.url}/api/queues?queue=2", "POST")
        assert (status, json.loads(text)) == (201, {"queue": 2, "place": place})
    assert served.metric("queue_length", queue_id="2") == 10
    assert cache.llen("queue:2") == 10


def test_1_2_6_never_becomes_healthy(shop: Shop) -> None:
    status, _, text = shop("1.2.6").get("/health")
    assert (status, json.loads(text)["checks"]) == (503, {"database": "healthy", "cache": "unhealthy"})


def test_a_closed_queue_cannot_be_joined(shop: Shop) -> None:
    assert ask(f"{shop('1.2.2').url}/api/queues?queue=6", "POST")[0] == 404


def test_health_is_503_while_the_cache_is_away(
    shop: Shop, children: Processes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = servers.redis(children, tmp_path_factory.mktemp("redis"))
    served = shop("1.2.2", "--redis", cache.url)
    cache.child.stop()
    status, _, text = served.get("/health")
    assert (status, json.loads(text)["checks"]) == (503, {"database": "healthy", "cache": "unhealthy"})
    servers.redis(children, tmp_path_factory.mktemp("redis"), port=cache.port)
    wait_until(lambda: served.get("/health")[0] == 200, within=90, what="be healthy again")


def test_health_is_503_while_the_database_is_away(shop: Shop, children: Processes, workshop: Path) -> None:
    database = servers.postgres(children, workshop / "postgres-that-stops")
    served = shop("1.2.2", "--database", database.url)
    database.child.stop()
    status, _, text = served.get("/health")
    assert (status, json.loads(text)["checks"]) == (503, {"database": "unhealthy", "cache": "healthy"})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--release=9.9.9"], "there is no release 9.9.9; releases.yml has: 1.2.1, 1.2.2"),
        (["--release=1.2.2", "--redis=redis://127.0.0.1:1/0"], "does not answer: ConnectionError"),
        (["--release=1.2.2", "--listen=192.0.2.1:80"], "cannot listen on 192.0.2.1:80"),
    ],
)
def test_a_shop_that_cannot_start_says_why(storage: list[str], options: list[str], text: str) -> None:
    ended = forked.python(DEMO / "shop.py", "--listen=127.0.0.1:0", *storage, *options)
    assert ended.returncode == 78
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr
