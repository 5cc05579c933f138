"""docs/pipelines.md: every snippet is parsed, and its shell is run against a receiver and without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.receiver.process import RealReceiver
from tests.support import forked_program
from tests.support.forked import ForkedProcesses

PAGE = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text()


def snippet(name: str) -> str:
    """The code block of that name."""
    block = re.search(rf"```{name}\n(.*?)```", PAGE, re.DOTALL)
    assert block, name
    return block[1]


def parsed(name: str) -> Any:
    """The block as YAML."""
    return YAML(typ="safe").load(snippet(f"yaml {name}"))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver that is not started yet."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        real = RealReceiver(processes, tmp_path)
        real.configure(database="sqlite:///store.db")
        real.port = processes.free_port()
        yield real


class Runner:
    """Runs a snippet's shell where `deploywatch`, `git` and `./deploy.sh` are."""

    def __init__(self, receiver: RealReceiver, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        forked_program.write(programs / "deploywatch")
        self._program(programs / "pip", "exit 0")
        self._program(programs / "git", "echo 2026-11-27T21:00:00+01:00")
        self.deploys(0)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DEPLOYWATCH_URL": receiver.url,
            "DEPLOYWATCH_SPOOL": str(folder / "spool"),
            "VERSION": "1.2.3",
            "GIT_COMMIT": "1.2.3",
            "CI_COMMIT_TIMESTAMP": "2026-11-27T21:00:00+01:00",
            "GITHUB_ACTOR": "ann",
            "GITHUB_ENV": str(folder / "github-env"),
        }
        self.receiver = receiver

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def deploys(self, code: int) -> None:
        """How ./deploy.sh ends."""
        self._program(self.folder / "deploy.sh", f"exit {code}")

    def run(self, script: str, **more: str) -> int:
        """Run it as runners do: `sh -e`."""
        command = ["sh", "-e", "-c", script]
        ran = subprocess.run(
            command, cwd=self.folder, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in ran.stderr
        return ran.returncode

    def ledger(self) -> list[list[str]]:
        """Version and status of each deployment."""
        return [[row["version"], row["status"]] for row in self.receiver.json("/api/v1/deployments")]


@pytest.fixture
def runner(receiver: RealReceiver, tmp_path: Path) -> Runner:
    """A pipeline's runner."""
    return Runner(receiver, tmp_path)


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (3, "failed")])
@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_the_shell_snippet(runner: Runner, code: int, status: str, down: bool) -> None:
    runner.deploys(code)
    if not down:
        runner.receiver.start()
    assert runner.run(snippet("sh set-e")) == code
    if down:
        runner.receiver.start()
        assert runner.run("deploywatch deployments send") == 0
    assert runner.ledger() == [["1.2.3", status]]
    assert runner.receiver.json("/api/v1/deployments")[0]["commit_time"] == "2026-11-27T20:00:00+00:00"


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (3, "failed")])
def test_the_gitlab_snippet(runner: Runner, code: int, status: str) -> None:
    job = parsed("gitlab")["deploy"]
    runner.receiver.start()
    runner.deploys(code)
    assert runner.run("\n".join(job["before_script"] + job["script"])) == code
    state = {"CI_JOB_STATUS": "failed" if code else "success"}
    assert runner.run("\n".join(job["after_script"]), **state) == 0
    assert runner.ledger() == [["1.2.3", status]]


@pytest.mark.parametrize(
    ("state", "status"), [("success", "succeeded"), ("failure", "failed"), ("cancelled", "failed")]
)
def test_the_github_snippet(runner: Runner, tmp_path: Path, state: str, status: str) -> None:
    steps = parsed("github")["jobs"]["deploy"]["steps"]
    by_name = {step["name"]: step for step in steps if "name" in step}
    runner.receiver.start()
    assert runner.run(by_name["It starts"]["run"]) == 0
    name, _, value = (tmp_path / "github-env").read_text().strip().partition("=")
    assert by_name["It ended"]["if"] == "always()"
    # What GitHub makes of its expression.
    script = re.sub(r"\$\{\{.*?\}\}", "success" if state == "success" else "failure", by_name["It ended"]["run"])
    assert runner.run(script, **{name: value}) == 0
    assert runner.ledger() == [["1.2.3", status]]


@pytest.mark.parametrize(("good", "status"), [(True, "succeeded"), (False, "failed")])
def test_the_jenkins_snippet(runner: Runner, good: bool, status: str) -> None:
    shell = re.findall(r"(?:(\w+) \{ )?sh '(.*?)'", snippet("groovy"))
    ends = {name: script for name, script in shell if name}
    steps = [script for name, script in shell if not name]
    runner.receiver.start()
    runner.deploys(0 if good else 1)
    assert [runner.run(step) for step in steps] == [0, 0 if good else 1]
    assert runner.run(ends["success" if good else "unsuccessful"]) == 0
    assert runner.ledger() == [["1.2.3", status]]


@pytest.mark.parametrize(("phase", "status"), [("Succeeded", "succeeded"), ("Error", "failed")])
def test_the_argo_cd_template_posts_what_the_api_takes_once(runner: Runner, phase: str, status: str) -> None:
    data = parsed("argocd")["data"]
    service = YAML(typ="safe").load(data["service.webhook.deploywatch"])
    assert service["url"].endswith("/api/v1/deployments")
    template = YAML(typ="safe").load(data["template.deploywatch"])["webhook"]["deploywatch"]
    assert YAML(typ="safe").load(data["trigger.deploywatch"])[0]["send"] == ["deploywatch"]
    app = {
        ".app.metadata.name": "shop",
        ".app.spec.destination.namespace": "production",
        ".app.status.operationState.operation.sync.revision": "4f2a",
        ".app.status.operationState.startedAt": "2026-11-27T20:00:00Z",
    }
    # As Go's templates do with these few forms.
    body = re.sub(
        r'\{\{if eq \.app\.status\.operationState\.phase "(\w+)"\}\}(\w+)\{\{else\}\}(\w+)\{\{end\}\}',
        lambda form: str(form[2] if phase == form[1] else form[3]),
        template["body"],
    )
    body = re.sub(r"\{\{(\S+?)\}\}", lambda form: app[form[1]], body)
    runner.receiver.start()
    posted = [runner.receiver.post("/api/v1/deployments", json.loads(body))[0] for _ in range(2)]
    assert posted == [201, 200]
    assert runner.ledger() == [["4f2a", status]]


def test_the_records_of_the_page_are_taken_in(runner: Runner) -> None:
    runner.receiver.start()
    (runner.folder / "records").write_text(snippet("json"))
    for _ in range(2):
        assert runner.run("deploywatch deployments import records") == 0
    assert runner.ledger() == [["1.2.2", "succeeded"], ["1.2.3", "rolled_back"], ["1.2.2", "succeeded"]]
