"""The receiver is killed between the webhook's commit and the rollback, on real servers, and started again."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploywatch.demo.processes import Processes
from deploywatch.demo.stage import Stage
from tests.support.processes import fetch, poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DELAY_SECONDS = 8


@pytest.fixture
def stage(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The demo's servers, with a pause between the decision to roll back and the rollback."""
    monkeypatch.setenv("ROLLBACK_DELAY", f"{DELAY_SECONDS}s")
    folder = workshop / uuid.uuid4().hex
    folder.mkdir(mode=0o711)
    with Processes(folder / "logs") as processes:
        running = Stage(folder, processes, {})
        running.start_databases()
        running.start_shop()
        running.start_inbox()
        running.build_rules()
        running.start_part("receiver")
        running.start_part("exporter")
        running.start_alertmanager()
        running.start_prometheus()
        yield running


def test_one_rollback_one_incident_and_everyone_told(stage: Stage) -> None:
    stage.deploy("1.2.2")
    stage.start_load()
    stage.deploy("1.2.3")
    poll(lambda: _incident(stage), within=90, what="the incident opens")

    _kill(stage, "receiver")
    before = _deployed(stage)
    stage.start_part("receiver")

    incident = poll(lambda: _resolved(stage), within=120, what="the incident resolves")
    assert before == ["1.2.2", "1.2.3"]
    assert _deployed(stage) == ["1.2.2", "1.2.3", "1.2.2"]
    assert [rollback["state"] for rollback in incident["rollbacks"]] == ["verified"]
    assert len(fetch(f"{stage.url('receiver')}/api/v1/incidents")) == 1
    poll(lambda: _everyone_told(stage, incident["channels"]), within=90, what="all messages arrive")


def _kill(stage: Stage, name: str) -> None:
    child = next(child for child in stage.processes.children if child.name == name)
    child.send(signal.SIGKILL)
    child.process.wait()


def _incident(stage: Stage) -> dict[str, Any] | None:
    data = fetch(f"{stage.url('receiver')}/api/v1/incidents")
    return data[0] if data else None


def _resolved(stage: Stage) -> dict[str, Any] | None:
    incident: dict[str, Any] = fetch(f"{stage.url('receiver')}/api/v1/incidents/1")
    return incident if incident["status"] == "resolved" else None


def _deployed(stage: Stage) -> list[str]:
    """What the deploy program itself wrote down."""
    lines = (stage.data / "shop" / "deployments.jsonl").read_text().splitlines()
    return [json.loads(line)["version"] for line in lines]


def _everyone_told(stage: Stage, channels: list[str]) -> bool | None:
    """Each channel heard of the opening and the end; what went well in between is not a page or a mail of its own."""
    messages = fetch(f"{stage.url('inbox')}/inbox")
    heard = {channel: [m for m in messages if m["channel"] == channel] for channel in channels}
    return True if all(len(heard[channel]) >= 2 for channel in channels) else None
