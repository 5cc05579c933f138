"""docs/pipelines.md, from gate to verdict: each snippet is run against a receiver that judges by a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from tests.receiver.commands.test_pipelines import parsed, snippet
from tests.receiver.process import RealReceiver, eventually
from tests.support import forked_program
from tests.support.policies import planned, shop
from tests.support.versions import Version, served

pytestmark = pytest.mark.timeout(600)

POLICY = shop(
    """
interval: 1s
window: 10s
stages:
  - {stage: canary-10, share: 10%, lasts: 3s, at_most: 300s}
  - {stage: full, share: 100%, lasts: 2s, at_most: 300s}
gate:
  - {require: approval, of: tech-lead}
verdict:
  fail: [error_ratio > 0.5%]
  look: 1s
  source: {ours: figures}
""",
    control="{label: version}",
    fires="error_ratio > 50%",
    wait="10m",
    action="notify",
)
TARGET = ("--service", "shop", "--environment", "production")


@dataclass(slots=True)
class Runner:
    """A pipeline's runner, the receiver that it asks, and the new version that Prometheus sees."""

    folder: Path
    receiver: RealReceiver
    canary: Version
    environment: dict[str, str]

    def release(self, version: str, *, bad: float, approved: bool) -> None:
        """The next version is there: this share of its requests is bad."""
        self.canary.name, self.canary.bad, self.canary.began = version, bad, time.time()
        self.environment |= {"VERSION": version, "GIT_COMMIT": version}
        for name in ("deployment", "traffic", "github-env", "verdict.xml"):
            (self.folder / name).unlink(missing_ok=True)
        if approved:
            words = " ".join((*TARGET, "--version", version, "--role", "tech-lead", "--by", "ann"))
            assert self.run(f"deploywatch deployments approve {words}") == 0

    def run(self, script: str, **more: str) -> int:
        """Run it as runners do: `sh -e`."""
        ran = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.returncode

    @property
    def traffic(self) -> list[str]:
        """The shares that were given."""
        file = self.folder / "traffic"
        return file.read_text().split() if file.exists() else []


@pytest.fixture(scope="module")
def runner(processes: Processes, workshop: Path) -> Iterator[Runner]:
    """A Prometheus that scrapes both versions, and a receiver with the plan."""
    folder = workshop / "judged"
    folder.mkdir(mode=0o711)
    with ExitStack() as stack:
        canary = Version("1.2.3", 500, 0)
        ports = [stack.enter_context(served(version)) for version in (Version("1.2.2", 4500, 0.0005), canary)]
        targets = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        scraped = {"job_name": "shop", "honor_labels": True, "static_configs": targets}
        config = folder / "prometheus.yml"
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scraped]}))
        planned(POLICY, folder)
        prometheus = servers.prometheus(processes, folder / "tsdb", config)
        receiver = RealReceiver(processes, folder)
        receiver.configure(
            database=f"sqlite:///{folder}/receiver.db",
            prometheus={"url": prometheus.url},
            verification={"plans": [str(folder / "shop.json")]},
        )
        receiver.start()
        receiver.deploy("1.2.2")
        programs = folder / "bin"
        programs.mkdir()
        forked_program.write(programs / "deploywatch")
        for name, text in {
            "bin/pip": "exit 0",
            "bin/git": "echo 2026-11-27T21:00:00+01:00",
            "traffic.sh": 'echo "$1" >> traffic',
        }.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DEPLOYWATCH_URL": receiver.url,
            "DEPLOYWATCH_SPOOL": str(folder / "spool"),
            "CI_COMMIT_TIMESTAMP": "2026-11-27T21:00:00+01:00",
            "GITLAB_USER_LOGIN": "ci",
            "GITHUB_ACTOR": "ci",
            "GITHUB_ENV": str(folder / "github-env"),
            "TARGET": " ".join(TARGET),
        }
        yield Runner(folder, receiver, canary, environment)


def _unwaiting(script: str) -> str:
    """The script, without waiting half an hour for a person whom a test does not have."""
    return script.replace(" --wait 30m", "").replace("--wait 2h", "--wait 0s --every 0.5")


def _github(runner: Runner) -> int:
    code, known = 0, dict[str, str]()
    for step in parsed("github-judged")["jobs"]["deploy"]["steps"]:
        script = step.get("run", "")
        if step.get("name") == "Finish":
            assert step["if"] == "always() && env.DEPLOYMENT"
            # What GitHub makes of its expressions.
            script = re.sub(r"\$\{\{.*?\}\}", "failure" if code else "success", script)
            if "DEPLOYMENT" in known:
                assert runner.run(script, **known) == 0
        elif script and not code:
            code = runner.run(_unwaiting(script), **known)
            file = runner.folder / "github-env"
            known = dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.exists() else {}
    return code


def _gitlab(runner: Runner) -> int:
    job = parsed("gitlab-judged")["deploy"]
    code = runner.run(_unwaiting("\n".join(job["before_script"] + job["script"])))
    state = {"CI_JOB_STATUS": "failed" if code else "success"}
    assert runner.run("\n".join(job["after_script"]), **state) == 0
    if not code:
        assert (runner.folder / job["artifacts"]["reports"]["junit"]).read_text().startswith("<?xml")
    return code


def _jenkins(runner: Runner) -> int:
    shell = re.findall(r"(?:(\w+) \{ )?sh '(.*?)'", snippet("groovy judged"))
    code = 0
    for step in (script for name, script in shell if not name):
        code = code or runner.run(_unwaiting(step))
    ends = {name: script for name, script in shell if name}
    assert runner.run(ends["unsuccessful" if code else "success"]) == 0
    return code


PIPELINES: Mapping[str, Callable[[Runner], int]] = {"github": _github, "gitlab": _gitlab, "jenkins": _jenkins}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_good_version_goes_through_every_stage_and_is_finished(runner: Runner, name: str) -> None:
    version = f"1.3.0-{name}"
    runner.release(version, bad=0.0005, approved=True)
    assert PIPELINES[name](runner) == 0
    newest = runner.receiver.json("/api/v1/deployments")[0]
    assert (newest["version"], newest["status"], newest["strategy"]) == (version, "succeeded", "canary")
    assert runner.traffic == ["10%", "100%"]
    # The watcher writes it when it looks again.
    where = f"/api/v1/deployments/{newest['id']}"
    eventually(lambda: runner.receiver.json(where)["verdict"] == "promote", "the verdict in the ledger")


@pytest.mark.parametrize("name", PIPELINES)
def test_a_bad_version_stops_at_its_first_stage_and_its_pipeline_says_so(runner: Runner, name: str) -> None:
    version = f"1.4.0-{name}"
    runner.release(version, bad=0.05, approved=True)
    assert PIPELINES[name](runner) == 1
    newest, *others = runner.receiver.json("/api/v1/deployments")
    assert (newest["version"], newest["status"], newest["verdict"]) == (version, "failed", "roll_back")
    # What was promoted last is what to go back to, and not what failed since.
    well = next(row for row in others if row["status"] == "succeeded")
    assert newest["previous_version"] == well["version"]
    assert runner.traffic == ["10%"]


@pytest.mark.parametrize("name", PIPELINES)
def test_without_an_approval_nothing_begins(runner: Runner, name: str) -> None:
    version = f"1.5.0-{name}"
    runner.release(version, bad=0.0, approved=False)
    assert PIPELINES[name](runner) == 3
    assert version not in [row["version"] for row in runner.receiver.json("/api/v1/deployments")]
    assert runner.traffic == []
