"""A receiver that really runs: people approve by command, and the command of the rollback really runs."""

from __future__ import annotations

import sys
import urllib.parse
from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.clock import utc_now
from tests.receiver.process import RealReceiver, ask, eventually, healthy_service, start_inbox
from tests.receiver.scene import NOON, alert, body
from tests.support.forked import ForkedProcesses


def cli(*arguments: str) -> object:
    """The exit code of one of deploywatch's own commands."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_person_approves_by_command_and_the_rollback_runs_and_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ForkedProcesses(tmp_path / "logs") as processes, healthy_service("1.2.2") as health:
        real = RealReceiver(processes, tmp_path)
        target = {
            "command": ["sh", "-c", 'echo "$@" > ran', "-", "{service}", "{to_version}"],
            "verify": {"url": health, "healthy_for": "1s", "within": "120s"},
        }
        real.configure(
            database="sqlite:///store.db",
            external_url="http://receiver.example",
            channels={"team": start_inbox(processes, tmp_path / "inbox").channel},
            rollback={"mode": "approve", "approval": {"secret": "0123456789abcdef"}, "targets": [target]},
        )
        real.start()
        real.deploy("1.2.2", "1.2.3")
        fired = body(alert(severity="critical", starts=utc_now() - NOON))
        assert real.post("/webhook/alertmanager", fired)[0] == 200
        eventually(lambda: bool(real.timeline("approval_wanted")), "ask a person", real.child)
        monkeypatch.setenv("DEPLOYWATCH_URL", real.url)
        assert cli("incidents", "approve", "1", "--by", "ann", "--note", "go") == 0
        assert capsys.readouterr().out == "#1: the rollback to 1.2.2 is approved, by ann\n"
        eventually(lambda: bool(real.timeline("rollback_verified")), "verify the rollback", real.child)
        assert (tmp_path / "ran").read_text() == "shop 1.2.2\n"
        assert cli("incidents", "reject", "1") == 2
        assert "is approved by ann already" in capsys.readouterr().err
        assert cli("deployments", "allow", "--service", "shop", "--environment", "production") == 0
        assert capsys.readouterr().out == "shop in production may be rolled back again\n"


def test_a_signed_link_needs_no_credentials_and_everything_else_does(tmp_path: Path) -> None:
    with ForkedProcesses(tmp_path / "logs") as processes:
        real = RealReceiver(processes, tmp_path)
        real.configure(database="sqlite:///store.db", rollback={"approval": {"secret": "0123456789abcdef"}})
        (tmp_path / "token").write_text("a-very-long-token-of-a-person")
        (tmp_path / "web.yml").write_text("bearer_token_files: [token]\n")
        real.port = processes.free_port()
        command = [sys.executable, "-m", "deploywatch", "receiver", "--config.file", str(real.file)]
        web = ["--web.config.file", "web.yml", "--web.listen-address", f"127.0.0.1:{real.port}"]
        child = processes.start("receiver", [*command, *web], folder=tmp_path)
        eventually(lambda: real.get("/-/ready")[0] == 200, "start the receiver", child)
        query = urllib.parse.urlencode({"id": 1, "answer": "approve", "expires": 1, "signature": "0"})
        status, text = ask(f"{real.url}/api/v1/approval?{query}")
        assert (status, "this link is not valid" in text) == (403, True)
        assert real.get("/api/v1/incidents")[0] == 401
        assert real.post("/api/v1/incidents/1/approve", {"by": "mallory"})[0] == 401
