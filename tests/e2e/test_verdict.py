"""A verdict on real servers that are restarted meanwhile: two versions that Prometheus scrapes, and a receiver.

The receiver is killed and Prometheus started again while a stage lasts. The whole way from gate to promoted is run by
tests/receiver/commands/test_pipelines_judged.py, and by the demo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from tests.receiver.process import Inbox, RealReceiver, eventually, healthy_service, start_inbox
from tests.support.policies import planned, shop
from tests.support.versions import Version, served

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

POLICY = shop(
    """
interval: 1s
window: 10s
stages:
  - {stage: canary-10, share: 10%, lasts: 6s, at_most: 300s}
  - {stage: full, share: 100%, lasts: 4s, at_most: 300s}
verdict:
  fail: [error_ratio > 0.5%, rise(error_ratio) > 100%]
  look: 2s
  source: {ours: figures}
""",
    control="{label: version}",
    fires="error_ratio > 50%",
    wait="10m",
)


@dataclass(slots=True)
class World:
    """All that runs, and the pipeline's commands."""

    folder: Path
    processes: Processes
    receiver: RealReceiver
    prometheus: Running
    targets: Path
    inbox: Inbox
    canary: Version

    def run(self, *words: str) -> tuple[int, str]:
        """One command of `deployments`, as a pipeline runs it; its exit code and what it printed."""
        command = [sys.executable, "-m", "deploywatch", "deployments", "--url", self.receiver.url, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=400)
        return done.returncode, done.stdout + done.stderr

    def scrape(self, **ports: int) -> None:
        """Have Prometheus scrape these, by name."""
        groups = [{"targets": [f"127.0.0.1:{port}"]} for port in ports.values()]
        self.targets.write_text(json.dumps(groups))

    def restart_prometheus(self) -> None:
        """Prometheus ends, and starts again on what it has stored."""
        self.prometheus.child.stop()
        self.prometheus = servers.prometheus(
            self.processes,
            self.folder / "tsdb",
            self.folder / "prometheus.yml",
            port=self.prometheus.port,
        )

    def start(self, version: str) -> str:
        """A deployment begins; its number."""
        code, text = self.run(
            "start", "--service", "shop", "--environment", "production", "--version", version, "--strategy", "canary"
        )
        assert code == 0, text
        return text.strip()


@pytest.fixture
def canary() -> Version:
    """The new version, of which one request in twenty fails."""
    return Version("1.2.4", 500, 0.05)


@pytest.fixture
def world(workshop: Path, canary: Version) -> Iterator[World]:
    """A Prometheus that scrapes the stable version, a receiver with the plan, and an inbox."""
    folder = workshop / uuid.uuid4().hex
    folder.mkdir(mode=0o711)
    with ExitStack() as stack:
        processes = stack.enter_context(Processes(folder / "logs"))
        stable = stack.enter_context(served(Version("1.2.3", 4500, 0.0005)))
        new = stack.enter_context(served(canary))
        targets, config = folder / "targets.json", folder / "prometheus.yml"
        scraped = {"job_name": "shop", "honor_labels": True, "file_sd_configs": [{"files": [str(targets)]}]}
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scraped]}))
        targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{stable}"]}]))
        planned(POLICY, folder)
        prometheus = servers.prometheus(processes, folder / "tsdb", config)
        inbox = start_inbox(processes, folder / "inbox")
        well = stack.enter_context(healthy_service("1.2.3"))
        receiver = RealReceiver(processes, folder)
        log = folder / "rolled-back"
        receiver.configure(
            database=f"sqlite:///{folder}/receiver.db",
            prometheus={"url": prometheus.url},
            verification={"plans": [str(folder / "shop.json")]},
            channels={"team": inbox.channel},
            rollback={
                "mode": "auto",
                "targets": [
                    {
                        "command": [sys.executable, "-c", f"open({str(log)!r}, 'a').write('{{to_version}}\\n')"],
                        "verify": {"url": well, "healthy_for": "1s", "within": "120s"},
                    }
                ],
            },
        )
        receiver.start()
        receiver.deploy("1.2.2", "1.2.3")
        made = World(folder, processes, receiver, prometheus, targets, inbox, canary)
        made.scrape(stable=stable, canary=new)
        yield made


def _finding(world: World, number: str) -> dict[str, Any]:
    found: dict[str, Any] = world.receiver.json(f"/api/v1/deployments/{number}/verdict")
    return found


def test_a_bad_canary_is_rolled_back_once_although_everything_is_restarted_meanwhile(world: World) -> None:
    number = world.start("1.2.4")
    assert world.run("stage", number, "canary-10")[0] == 0
    eventually(lambda: _finding(world, number)["verdict"] is not None, "the first look")
    world.receiver.kill()
    world.restart_prometheus()
    world.receiver.start()
    code, text = world.run("watch", number, "--every", "0.5", "--patience", "200")
    assert code == 1, text
    assert "canary failed" in text
    rolled_back = world.folder / "rolled-back"
    eventually(lambda: rolled_back.exists() and rolled_back.read_text() == "1.2.3\n", "the rollback")
    eventually(
        lambda: world.receiver.json(f"/api/v1/deployments/{number}")["status"] == "rolled_back", "the ledger says so"
    )
    (incident,) = world.receiver.json("/api/v1/incidents")
    assert incident["type"] == "deployment_failure"
    assert "canary failed" in incident["title"]
    eventually(lambda: any("canary failed" in title for title in world.inbox.titles()), "people are told")
    assert rolled_back.read_text() == "1.2.3\n"
