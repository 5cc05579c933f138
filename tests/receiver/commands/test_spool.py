"""Telling the receiver never fails a deployment: what cannot be told is kept, and sent later, in order and once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploywatch.demo.processes import Processes
from tests.receiver.process import RealReceiver

SHOP = ("--service", "shop", "--environment", "production")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver that is not started yet."""
    with Processes(tmp_path / "logs") as processes:
        real = RealReceiver(processes, tmp_path)
        real.configure(database="sqlite:///store.db")
        real.port = processes.free_port()
        yield real


class Pipeline:
    """Runs the command as a pipeline does, with a spool of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.spool = folder / "spool"
        self.environment = {**os.environ, "DEPLOYWATCH_URL": url, "DEPLOYWATCH_SPOOL": str(self.spool)}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `deploywatch deployments …`; what it printed."""
        command = [sys.executable, "-m", "deploywatch", "deployments", *arguments]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        self.said = ran.stderr
        return ran.stdout.strip()

    def kept(self) -> list[Path]:
        """The files of the spool."""
        return sorted(self.spool.glob("*.json"))

    def rows(self, *names: str) -> list[Sequence[object]]:
        """What the ledger has, the oldest first."""
        rows = json.loads(self.run("list", "--format", "json"))
        return [[row[name] for name in names] for row in rows[::-1]]


@pytest.fixture
def pipeline(receiver: RealReceiver, tmp_path: Path) -> Pipeline:
    """A pipeline that talks to the receiver."""
    return Pipeline(receiver.url, tmp_path)


def test_a_receiver_that_is_down_fails_nothing_and_is_told_later_in_order(
    receiver: RealReceiver, pipeline: Pipeline
) -> None:
    first = pipeline.run("start", *SHOP, "--version", "1")
    assert first.startswith("shop/production/1@")
    assert "kept in" in pipeline.said
    pipeline.run("finish", first, "--status", "success")
    second = pipeline.run("start", *SHOP, "--version", "2", "--timestamp", "2026-01-02T03:04:05+01:00")
    assert len(pipeline.kept()) == 3
    assert stat.S_IMODE(pipeline.kept()[0].stat().st_mode) == 0o600
    receiver.start()
    pipeline.run("finish", second, "--status", "failure")
    assert pipeline.kept() == []
    assert pipeline.said == ""
    assert sorted(pipeline.rows("version", "status"), key=str) == [["1", "succeeded"], ["2", "failed"]]
    assert ["2", "2026-01-02T02:04:05+00:00"] in pipeline.rows("version", "timestamp")


def test_what_was_sent_twice_counts_once(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    (kept,) = pipeline.kept()
    text = kept.read_text()
    receiver.start()
    assert pipeline.run("send") == "1 sent, 0 left"
    kept.write_text(text)  # as after a crash between the answer and the file's end
    assert pipeline.run("send") == "1 sent, 0 left"
    assert pipeline.rows("version") == [["1"]]


def test_with_strict_it_fails_and_keeps_nothing(pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1", "--strict", code=1)
    assert "gave no answer" in pipeline.said
    pipeline.run("finish", "7", "--status", "success", "--strict", code=1)
    pipeline.run("finish", "nonsense", "--status", "success", "--strict", code=2)
    assert pipeline.kept() == []


def test_what_the_receiver_never_takes_fails_nothing_and_is_said(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    (kept,) = pipeline.kept()
    broken = json.loads(kept.read_text())
    broken["body"]["version"] = ""
    kept.write_text(json.dumps(broken))
    receiver.start()
    pipeline.run("finish", "77", "--status", "success")
    assert "put aside" in pipeline.said
    assert "the deployment goes on: refused (404)" in pipeline.said
    assert pipeline.kept() == []
    assert len(list((pipeline.spool / "refused").iterdir())) == 1
    assert pipeline.run("finish", "nonsense", "--status", "success") == ""
    assert "neither a deployment's number nor what `start` printed" in pipeline.said


def test_a_spool_that_cannot_be_written_fails_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = pipeline.run("start", *SHOP, "--version", "1", "--spool", str(tmp_path / "file" / "below"))
    assert printed.startswith("shop/production/1@")
    assert "give another --spool" in pipeline.said


def test_what_is_kept_for_another_receiver_stays(receiver: RealReceiver, pipeline: Pipeline) -> None:
    pipeline.run("--url", "http://127.0.0.1:9", "start", *SHOP, "--version", "1")
    receiver.start()
    assert pipeline.run("send") == "0 sent, 0 left"
    assert len(pipeline.kept()) == 1


def test_while_something_is_left_sending_ends_with_1(pipeline: Pipeline) -> None:
    pipeline.run("start", *SHOP, "--version", "1")
    assert pipeline.run("send", code=1) == "0 sent, 1 left"


def test_what_is_given_is_told(receiver: RealReceiver, pipeline: Pipeline) -> None:
    receiver.start()
    given = ("--previous-version", "0.9", "--artifact", "shop@sha256:1", "--commit-time", "2026-01-01T00:00:00+00:00")
    number = pipeline.run("start", *SHOP, "--version", "1", *given, "--timestamp", "2026-01-02T00:00:00+00:00")
    pipeline.run("finish", number, "--status", "success", "--timestamp", "2026-01-02T00:05:00+00:00")
    names = ("previous_version", "artifact", "commit_time", "timestamp", "duration_seconds", "status")
    commit, began = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
    assert pipeline.rows(*names) == [["0.9", "shop@sha256:1", commit, began, 300.0, "succeeded"]]


def test_a_name_with_any_letters_comes_back_from_its_reference(receiver: RealReceiver, pipeline: Pipeline) -> None:
    odd = ("--service", "a/b@c é", "--environment", "x y")
    reference = pipeline.run("start", *odd, "--version", "sha256:1/2@3")
    receiver.start()
    pipeline.run("finish", reference, "--status", "success")
    assert pipeline.rows("service", "environment", "version", "status") == [
        ["a/b@c é", "x y", "sha256:1/2@3", "succeeded"]
    ]
