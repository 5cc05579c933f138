"""The receiver's process: it starts, reloads, stops in order, and survives being killed."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploywatch.clock import utc_now
from tests.receiver.process import Inbox, RealReceiver, eventually, healthy_service, start_inbox
from tests.receiver.scene import NOON, alert, body
from tests.support.forked import ForkedProcesses


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def inbox(folder: Path) -> Iterator[Inbox]:
    """An inbox for all tests here."""
    with ForkedProcesses(folder / "logs") as processes:
        yield start_inbox(processes, folder / "inbox")


@pytest.fixture(scope="module")
def health() -> Iterator[str]:
    """A service that is healthy with 1.2.2."""
    with healthy_service("1.2.2") as url:
        yield url


@pytest.fixture
def receiver(tmp_path: Path, inbox: Inbox, health: str) -> Iterator[RealReceiver]:
    """A configured receiver that is not started yet; its rollback adds a line to the file `runs`."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        inbox.file.unlink(missing_ok=True)
        real = RealReceiver(processes, tmp_path)
        real.configure(
            database="sqlite:///data/store.db", channels={"team": inbox.channel}, rollback=_rollback(health, "0s", "")
        )
        yield real


def _rollback(health: str, delay: str, script: str) -> dict[str, Any]:
    verify = {"url": health, "healthy_for": "0s", "within": "120s"}
    target = {"command": ["sh", "-c", f"echo {{to_version}} >> runs; {script}"], "verify": verify}
    return {"mode": "auto", "delay": delay, "targets": [target]}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


HELD = "while ! [ -e go ]; do sleep 0.05; done; echo finished >> runs"
"""What a rollback does that lasts until it is let go."""


def _critical() -> bytes:
    return body(alert(severity="critical", starts=utc_now() - NOON))


def test_it_serves_takes_over_a_good_config_and_keeps_the_old_one_when_the_new_is_bad(receiver: RealReceiver) -> None:
    child = receiver.start()
    assert receiver.get("/-/healthy")[0] == 200
    assert "deploywatch" in receiver.get("/")[1]
    assert "xoxb-secret" not in receiver.get("/config")[1]
    receiver.configure(quiet_time="7m")
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: receiver.json("/config")["quiet_time"] == "7m", "reload", child)
    receiver.configure(quiet_time="soon")
    child.process.send_signal(signal.SIGHUP)
    refused = "deploywatch_config_last_reload_successful 0.0"
    eventually(lambda: refused in receiver.get("/metrics")[1], "refuse the reload", child)
    assert receiver.json("/config")["quiet_time"] == "7m"
    assert "receiver.yml:1:" in child.tail()
    child.process.send_signal(signal.SIGTERM)
    assert child.process.wait(90) == 0


def test_a_second_receiver_on_the_same_store_says_so_and_ends(receiver: RealReceiver) -> None:
    receiver.start()
    port, receiver.port = receiver.port, 0
    second = receiver.launch()
    assert second.process.wait(90) == 1
    assert "is in use by another receiver; for several replicas use PostgreSQL" in second.tail()
    receiver.port = port
    assert receiver.get("/-/ready")[0] == 200


def test_a_store_that_cannot_be_opened_ends_it_with_a_sentence(receiver: RealReceiver) -> None:
    (receiver.folder / "data").mkdir()
    (receiver.folder / "data" / "store.db").write_bytes(b"this is no database" * 100)
    child = receiver.launch()
    assert child.process.wait(90) == 1
    assert child.tail().splitlines()[-1] == "deploywatch: the database failed: file is not a database"


def test_a_full_disk_loses_nothing_and_everything_is_told_once_there_is_room(
    receiver: RealReceiver, inbox: Inbox
) -> None:
    child = receiver.start()
    assert receiver.post("/webhook/alertmanager", body(alert(service="before")))[0] == 200
    files = list((receiver.folder / "data").iterdir())
    largest = max(file.stat().st_size for file in files)
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    long = alert(service="during", annotations={"description": "x" * 200_000})
    status, text = receiver.post("/webhook/alertmanager", body(long))
    assert status == 503
    assert "not stored, send it again: the database failed: " in text
    assert [row["service"] for row in receiver.json("/api/v1/incidents")] == ["before"]
    assert receiver.get("/-/healthy")[0] == 200
    metrics = receiver.get("/metrics")[1]
    assert 'deploywatch_webhooks_total{outcome="unavailable"} 1.0' in metrics
    assert re.search(r'^deploywatch_store_failures_total\{operation="write"\} [1-9]', metrics, re.MULTILINE)
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    eventually(lambda: receiver.post("/webhook/alertmanager", body(long))[0] == 200, "take in what it refused", child)
    assert {row["service"] for row in receiver.json("/api/v1/incidents")} == {"before", "during"}
    eventually(lambda: len(inbox.titles()) >= 2, "tell the team of both", child)
    eventually(lambda: 'deploywatch_jobs_queued{kind="deliver"' not in receiver.get("/metrics")[1], "drain", child)
    assert len(receiver.timeline("told", 1)) == len(receiver.timeline("told", 2)) == 1


def test_sigterm_lets_a_rollback_finish_and_ends_with_0(receiver: RealReceiver, health: str) -> None:
    receiver.configure(rollback=_rollback(health, "0s", HELD))
    child = receiver.start()
    receiver.deploy("1.2.2", "1.2.3")
    assert receiver.post("/webhook/alertmanager", _critical()) == (200, "committed\n")
    eventually(lambda: _lines(receiver.folder / "runs") == ["1.2.2"], "begin the rollback", child)
    child.process.send_signal(signal.SIGTERM)
    eventually(lambda: receiver.get("/-/ready")[0] != 200, "hear it", child)
    (receiver.folder / "go").touch()
    assert child.process.wait(90) == 0
    assert _lines(receiver.folder / "runs") == ["1.2.2", "finished"]


def test_killed_between_the_answer_and_the_rollback_it_goes_on_where_it_was(
    receiver: RealReceiver, inbox: Inbox, health: str
) -> None:
    receiver.configure(rollback=_rollback(health, "5s", ""))
    receiver.start()
    receiver.deploy("1.2.2", "1.2.3")
    assert receiver.post("/webhook/alertmanager", _critical()) == (200, "committed\n")
    receiver.kill()
    assert _lines(receiver.folder / "runs") == []
    child = receiver.start()
    assert receiver.post("/webhook/alertmanager", _critical())[0] == 200  # as Alertmanager repeats it
    eventually(lambda: receiver.timeline("rollback_verified") != [], "verify the rollback", child)
    assert _lines(receiver.folder / "runs") == ["1.2.2"]
    (incident,) = receiver.json("/api/v1/incidents")
    assert incident["severity"] == "critical"
    # Opened, rollback started, rollback verified: each at least once; the first message alone says that it started.
    eventually(lambda: len(receiver.timeline("told")) == 3, "tell the team", child)
    titles = [told.removeprefix("team: ") for told in receiver.timeline("told")]
    assert len(set(titles)) == 3
    posted = [title for title in titles if not title.startswith("Rolling back")]
    assert all(any(received.endswith(title) for received in inbox.titles()) for title in posted)


def test_killed_while_the_command_runs_it_never_runs_it_again(receiver: RealReceiver, health: str) -> None:
    receiver.configure(rollback=_rollback(health, "0s", HELD))
    child = receiver.start()
    receiver.deploy("1.2.2", "1.2.3")
    receiver.post("/webhook/alertmanager", _critical())
    eventually(lambda: _lines(receiver.folder / "runs") == ["1.2.2"], "begin the rollback", child)
    receiver.kill()
    child = receiver.start()
    eventually(lambda: receiver.timeline("rollback_verified") != [], "verify the rollback", child)
    assert len(receiver.timeline("rollback_unknown")) == 1
    (receiver.folder / "go").touch()
    eventually(lambda: _lines(receiver.folder / "runs") == ["1.2.2", "finished"], "end the first and only run")
    assert json.loads(receiver.get("/api/v1/incidents/1")[1])["rollbacks"][0]["state"] == "verified"
