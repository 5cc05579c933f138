"""deploy.py really switches the running version: without losing a request, and without leaving a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploywatch.demo.processes import wait_until
from tests.demo.conftest import DEMO, Served, Traffic, alive
from tests.support import forked


def version(front: Served) -> str:
    return str(json.loads(front.get("/health")[2])["version"])


def test_a_bad_version_fails_one_request_in_twenty_until_the_one_before_is_back(
    front: Served, load: Callable[[str], Traffic]
) -> None:
    assert front.deploy("1.2.2").returncode == 0
    traffic = load(front.url)
    traffic.wait_for(120)
    assert version(front) == "1.2.2"
    assert front.metric("http_requests_total", status="500") == 0

    assert front.deploy("1.2.3").returncode == 0
    assert version(front) == "1.2.3"
    traffic.wait_for(400)
    failed = front.metric("http_requests_total", status="500")
    # Each of the four endpoints fails its every 20th request, and is at most 19 away from the next.
    assert failed == pytest.approx(front.metric("http_requests_total") / 20, abs=6)
    assert failed > 10

    assert front.deploy("1.2.2").returncode == 0
    assert version(front) == "1.2.2"
    traffic.wait_for(200)
    assert front.metric("http_requests_total", status="500") == 0
    assert front.metric("http_requests_total", status="200") > 100
    totals = traffic.stop()
    assert totals["unreachable"] == totals["unsent"] == 0


def test_a_switch_loses_no_request(front: Served, load: Callable[[str], Traffic]) -> None:
    front.deploy("1.2.1")
    traffic = load(front.url)
    for wanted in ("1.2.2", "1.2.1", "1.2.2"):
        traffic.wait_for(30)
        assert front.deploy(wanted).returncode == 0
    traffic.wait_for(30)
    totals = traffic.stop()
    assert totals["sent"] == totals["ok"] > 120
    assert totals["errors"] == totals["unreachable"] == 0


def test_a_canary_gets_its_share_of_the_requests_and_the_whole_when_it_is_deployed(front: Served) -> None:
    front.deploy("1.2.2")
    assert front.deploy("1.2.5", "--share", "10%").stdout == "1.2.5 is deployed, 10% of the requests\n"
    for _ in range(60):
        front.get("/api/tenants")
    assert front.metric("http_requests_total", version="1.2.5", endpoint="/api/tenants") == 6
    assert front.metric("http_requests_total", version="1.2.2", endpoint="/api/tenants") == 54
    front.deploy("1.2.5", "--share", "50%")
    for _ in range(20):
        front.get("/api/queues")
    assert front.metric("http_requests_total", version="1.2.5", endpoint="/api/queues") == 10
    assert front.deploy("1.2.5").returncode == 0
    assert version(front) == "1.2.5"
    # It is the same process, which goes on counting.
    assert front.metric("http_requests_total", version="1.2.5", endpoint="/api/tenants") == 6
    assert [alive(process) for process in front.shops()] == [False, True]


def test_going_back_ends_the_canary_and_leaves_the_old_version_alone(front: Served) -> None:
    front.deploy("1.2.2")
    front.deploy("1.2.4", "--share", "50%")
    assert front.deploy("1.2.2").returncode == 0
    assert {front.get("/api/tenants")[0] for _ in range(80)} == {200}
    assert [alive(process) for process in front.shops()] == [True, False]


def test_a_page_of_two_versions_has_every_family_once(front: Served) -> None:
    front.deploy("1.2.2")
    front.deploy("1.2.5", "--share", "10%")
    lines = front.get("/metrics")[2].splitlines()
    assert lines.count("# TYPE http_requests_total counter") == 1
    assert front.metric("build_info") == 2


@pytest.mark.parametrize(
    ("before", "wanted", "text"),
    [
        (None, ("1.2.4", "--share", "10%"), "no version runs beside which 1.2.4 could be a canary"),
        ("1.2.4", ("1.2.4", "--share", "10%"), "it can't be its own canary"),
        ("1.2.4", ("1.2.2", "--share", "0%"), "'0%' is no share; write one such as 10%"),
        ("1.2.4", ("1.2.2", "--share", "ten"), "'ten' is no share; write one such as 10%"),
    ],
)
def test_a_share_that_cannot_be_is_refused(
    front: Served, before: str | None, wanted: tuple[str, ...], text: str
) -> None:
    if before:
        front.deploy(before)
    ended = front.deploy(*wanted)
    assert ended.returncode != 0
    assert text in ended.stderr


def test_only_the_deployed_version_goes_on_running(front: Served) -> None:
    front.deploy("1.2.1")
    front.deploy("1.2.2")
    assert [alive(process) for process in front.shops()] == [False, True]


def test_deploying_the_running_version_changes_nothing(front: Served) -> None:
    front.deploy("1.2.2")
    assert front.deploy("1.2.2").returncode == 0
    assert len(front.shops()) == 1


@pytest.mark.parametrize(
    ("wanted", "text"),
    [("1.2.6", "1.2.6 is not healthy after 8 s"), ("9.9.9", "there is no release 9.9.9")],
)
def test_a_version_that_does_not_become_healthy_is_not_put_in_place(front: Served, wanted: str, text: str) -> None:
    front.deploy("1.2.2")
    ended = front.deploy(wanted)
    assert ended.returncode == 1
    assert text in ended.stderr
    assert version(front) == "1.2.2"
    assert [alive(process) for process in front.shops()] == [True, False]


def test_each_deployment_is_noted(front: Served) -> None:
    front.deploy("1.2.2", "--deployer", "ada")
    front.deploy("9.9.9")
    first, second = map(json.loads, (front.state / "deployments.jsonl").read_text().splitlines())
    assert first.pop("timestamp") < second["timestamp"]
    assert first.pop("duration_seconds") > 0
    assert first == {
        "service": "shop",
        "version": "1.2.2",
        "environment": "demo",
        "share": 1.0,
        "ports": [front.port],
        "deployer": "ada",
        "status": "success",
    }
    assert (second["version"], second["status"]) == ("9.9.9", "failed")


def test_without_a_front_there_is_a_clear_error(tmp_path: Path) -> None:
    ended = forked.python(DEMO / "deploy.py", "1.2.2", "--state", tmp_path, "--shop-port", "1")
    assert ended.returncode == 1
    assert "is front.py running?" in ended.stderr


def test_before_the_first_deployment_the_front_says_so(front: Served) -> None:
    assert front.get("/health")[0::2] == (503, '{"error": "no version is deployed"}')


def test_a_version_that_has_ended_is_answered_for_and_can_be_deployed_again(front: Served) -> None:
    front.deploy("1.2.2")
    subprocess.run(["kill", "-KILL", str(front.shops()[0])], check=True)
    wait_until(lambda: front.get("/api/tenants")[0] == 502, within=90, what="notice")
    assert front.deploy("1.2.2").returncode == 0
    assert front.get("/api/tenants")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_front_leaves_no_process(front: Served, number: int) -> None:
    front.deploy("1.2.2")
    front.child.process.send_signal(number)
    assert front.child.process.wait(90) == 0
    assert not any(alive(process) for process in front.shops())
    assert not (front.state / "front.sock").exists()


def test_stopping_the_front_during_a_deployment_leaves_no_process(front: Served) -> None:
    front.deploy("1.2.2")
    where = ["--state", str(front.state), "--shop-port", str(front.port)]
    command = [sys.executable, str(DEMO / "deploy.py"), "1.2.6", *where]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as deployment:
        wait_until(lambda: len(front.shops()) == 2, within=90, what="start 1.2.6")
        front.child.process.terminate()
        assert front.child.process.wait(90) == 0
        _, said = deployment.communicate(timeout=90)
    assert deployment.returncode == 1
    assert b"the front stopped" in said
    assert not any(alive(process) for process in front.shops())


def test_a_killed_front_takes_its_version_with_it(front: Served) -> None:
    front.deploy("1.2.2")
    front.child.process.kill()
    front.child.process.wait()
    wait_until(lambda: not any(alive(p) for p in front.shops()), within=90, what="stop the shop")
