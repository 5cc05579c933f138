"""`deploywatch rules` as people and scripts use it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploywatch.cli import main
from deploywatch.rules.builtin_policies import POLICIES
from tests.rules.tools import GOOD


def _run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["rules", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_build_writes_everything_and_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path)
    assert code == 0
    assert "rules/demo.alerts.yml" in out
    for name in ("rules/demo.recording.yml", "tests/demo.boundaries.yml", "alertmanager.yml", "dashboards/demo.json"):
        assert (tmp_path / name).is_file()
    code, out, _ = _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path)
    assert code == 0
    assert re.fullmatch(rf"\d+ files in {re.escape(str(tmp_path))}, 0 changed\n", out)


def test_build_sends_alerts_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instead = ["--webhook-url", "http://127.0.0.1:1234/hook", "--webhook-token-file", "/run/token"]
    links = ["--runbook-url", "http://127.0.0.1:1/runbooks", "--grafana-url", "http://127.0.0.1:3000"]
    assert _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path, *instead, *links)[0] == 0
    webhook = YAML(typ="safe").load(tmp_path / "alertmanager.yml")["receivers"][0]["webhook_configs"][0]
    assert webhook["url"] == "http://127.0.0.1:1234/hook"
    assert webhook["http_config"]["authorization"]["credentials_file"] == "/run/token"
    alerts = (tmp_path / "rules" / "demo.alerts.yml").read_text()
    assert "runbook_url: http://127.0.0.1:1/runbooks/demo.HighErrorRate.md" in alerts
    assert "http://127.0.0.1:3000/d/deploywatch-demo?" in alerts


def test_a_url_that_is_none_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path / "out", "--webhook-url", "nowhere")
    assert code == 2
    assert "'nowhere' is not a URL" in err
    assert not (tmp_path / "out").exists()


def test_bad_input_builds_nothing_and_exits_2_with_all_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Path(__file__).parent / "bad" / "five_faults.yml"
    code, _, err = _run(capsys, "build", bad, "--out", tmp_path / "out")
    assert code == 2
    assert len(err.splitlines()) == 5
    assert all(line.startswith(f"{bad}:") for line in err.splitlines())
    assert not (tmp_path / "out").exists()


def test_check_says_what_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    assert _run(capsys, "check", path) == (0, f"{path}: policy mine, 1 alerts: good\n", "")


def test_an_output_that_cannot_be_written_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").write_text("a file where a folder must be")
    code, _, err = _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path)
    assert code == 2
    assert "cannot write" in err
