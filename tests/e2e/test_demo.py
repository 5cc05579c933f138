"""The whole loop as a newcomer sees it: `deploywatch demo` on real servers, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from deploywatch.demo.processes import Processes
from tests.support.processes import MARK, fetch, marked, poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


class Demo:
    """A demo that runs as a process of its own, with its output in a file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder / "demo"
        self.output = folder / "output"
        self.port = Processes(folder).free_port()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploywatch", "demo", f"--folder={self.folder}", *options],
                stdout=output,
                stderr=output,
                env={**os.environ, MARK: self.mark},
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def until_it_says(self, text: str, *, within: float) -> None:
        def look() -> bool | None:
            assert self.process.poll() is None or text in self.said, self.said
            return True if text in self.said else None

        poll(look, within=within, what=f"the demo says {text!r}")

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def url(self, part: str) -> str:
        line = next(line for line in self.said.splitlines() if line.startswith(f"  {part} "))
        return line.split()[1]


@pytest.fixture
def folder(workshop: Path) -> Path:
    """A folder that PostgreSQL's user can reach."""
    here = workshop / uuid.uuid4().hex
    here.mkdir(mode=0o711)
    return here


def test_a_bad_deployment_is_noticed_rolled_back_told_and_written_up(folder: Path) -> None:
    demo = Demo(folder, "--keep")
    try:
        demo.until_it_says("Everything runs until Ctrl-C.", within=1200)
        incident = fetch(f"{demo.url('receiver')}/api/v1/incidents/1")
        incidents = fetch(f"{demo.url('receiver')}/api/v1/incidents")
        canary = fetch(f"{demo.url('receiver')}/api/v1/incidents/2")
        deployments = fetch(f"{demo.url('receiver')}/api/v1/deployments")
        stages = fetch(f"{demo.url('receiver')}/api/v1/deployments/{deployments[0]['id']}/stages")
        verdict = fetch(f"{demo.url('receiver')}/api/v1/deployments/{deployments[2]['id']}/verdict")
        health = fetch(f"{demo.url('exporter')}/health/services/shop?environment=demo&fresh=1")
    finally:
        code = demo.stop(signal.SIGINT)
    assert len(incidents) == 2
    _check_incident(incident)
    assert [(deployment["version"], deployment["status"], deployment["verdict"]) for deployment in deployments] == [
        ("1.2.5", "succeeded", "promote"),
        ("1.2.2", "succeeded", None),
        ("1.2.4", "rolled_back", "roll_back"),
        ("1.2.2", "succeeded", None),
        ("1.2.3", "rolled_back", None),
        ("1.2.2", "succeeded", None),
    ]
    assert [(stage["stage"], stage["state"]) for stage in stages[:2]] == [
        ("canary-10", "promoted"),
        ("canary-50", "promoted"),
    ]
    _check_canary(canary, verdict)
    _check_gate(demo.said)
    assert (health["status"], health["version"]) == ("healthy", "1.2.5")
    _check_messages(demo.folder / "inbox" / "inbox.jsonl")
    assert "HighErrorRate" in (demo.folder / "postmortems" / "incident-1.md").read_text()
    report = (demo.folder / "reports" / f"deployment-{deployments[2]['id']}.md").read_text()
    assert "was judged bad in stage canary-10" in report
    assert code == 130
    _check_nothing_is_left(demo)


def _check_incident(incident: dict[str, Any]) -> None:
    kinds = [entry["kind"] for entry in incident["timeline"]]
    # A slow machine's latency may be an alert of its own, which comes and goes meanwhile.
    assert [kind for kind in kinds if kind in TURNS and kind != ENDED] == [turn for turn in TURNS if turn != ENDED]
    assert ENDED in kinds[kinds.index("rollback_verified") : kinds.index("resolved")]
    assert incident["status"] == "resolved"
    assert incident["severity"] == "critical"
    assert [rollback["state"] for rollback in incident["rollbacks"]] == ["verified"]


def _check_canary(incident: dict[str, Any], verdict: dict[str, Any]) -> None:
    kinds = [entry["kind"] for entry in incident["timeline"]]
    assert [kind for kind in kinds if kind in TURNS] == TURNS
    assert [alert["name"] for alert in incident["alerts"]] == ["DeploymentJudgedBad"]
    assert "canary failed" in incident["title"]
    assert [rollback["to_version"] for rollback in incident["rollbacks"]] == ["1.2.2"]
    assert (verdict["verdict"]["answer"], verdict["verdict"]["reason"]) == ("roll_back", "proven_bad")
    (finding,) = verdict["verdict"]["findings"]
    # Three in a hundred, and the stable version beside it is well.
    assert 0.01 < finding["ratio"] < 0.08
    assert finding["counts"]["control_bad"] == 0
    assert 0.05 < finding["counts"]["requests"] / finding["counts"]["control_requests"] < 0.25


def _check_gate(text: str) -> None:
    assert "the gate for 1.2.4 is closed: an approval is missing: exit code 3" in text
    assert "WAITING  approval tech-lead: tech-lead has not approved it" in text
    assert "no alert has noticed: 0." in text
    assert "roll back, exit code 1" in text
    assert text.count("promote, exit code 0") == 3


ENDED = "alert_resolved"
TURNS = ["opened", "rollback_started", "rollback_ran", "rollback_verified", ENDED, "resolved", "postmortem"]


def _check_messages(file: Path) -> None:
    messages = [json.loads(line) for line in file.read_text().splitlines()]
    by_channel = {
        channel: [m for m in messages if m["channel"] == channel] for channel in ("slack", "pagerduty", "email")
    }
    # Opened, rolled back, resolved, of two incidents; that the rollback began is said by the first.
    assert len({message["id"] for message in by_channel["slack"]}) >= 6
    for messages in by_channel.values():
        assert len({message["thread"] for message in messages}) == 2
    assert by_channel["pagerduty"][-1]["raw"]["event_action"] == "resolve"


def _check_nothing_is_left(demo: Demo) -> None:
    assert marked(demo.mark) == []
    assert not (demo.folder / "data").exists()


def test_an_interrupted_start_leaves_nothing_behind(folder: Path) -> None:
    demo = Demo(folder)
    demo.until_it_says("PostgreSQL and Redis", within=60)
    assert demo.stop(signal.SIGTERM) == 130
    _check_nothing_is_left(demo)


def test_a_step_that_does_not_come_is_named_with_its_log(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        demo = Demo(folder, "--port", f"exporter={taken.getsockname()[1]}")
        code = demo.process.wait(120)
    assert code == 1
    assert "start the exporter" in demo.said
    assert "cannot listen on" in demo.said
    _check_nothing_is_left(demo)


def test_a_port_that_is_no_part_is_refused(folder: Path) -> None:
    demo = Demo(folder, "--port", "exporer=1")
    assert demo.process.wait(60) == 2
    assert "'exporer=1'; write NAME=NUMBER with one of postgres, redis" in demo.said
