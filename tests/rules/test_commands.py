"""`deploywatch rules` as people and scripts use it."""

from __future__ import annotations

import json
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
    assert _run(capsys, "check", path) == (0, f"{path}: policy mine, 1 alert: good\n", "")


def test_an_output_that_cannot_be_written_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").write_text("a file where a folder must be")
    code, _, err = _run(capsys, "build", POLICIES / "demo.yml", "--out", tmp_path)
    assert code == 2
    assert "cannot write" in err


def test_diff_says_what_changes_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yml", tmp_path / "new.yml"
    old.write_text(GOOD)
    new.write_text(GOOD.replace("error_ratio > 1%", "error_ratio > 2%"))
    text = "Sample pages at 2% instead of 1% (error_ratio, later)\n"
    assert _run(capsys, "diff", old, new) == (0, text, "")
    assert _run(capsys, "diff", old, new, "--exit-code") == (1, text, "")
    assert _run(capsys, "diff", old, old, "--exit-code") == (0, "nothing changes for anybody\n", "")
    code, out, _ = _run(capsys, "diff", old, new, "--format", "json")
    (row,) = json.loads(out)
    assert (code, row["path"], row["now"]) == (0, "alerts.Sample.when", "error_ratio > 2%")


def test_test_tries_what_is_built_with_prometheus_own_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    code, out, _ = _run(capsys, "test", path)
    assert code == 0, out
    assert re.search(r"^tests/mine.boundaries.yml, \d+ tests: good$", out, re.MULTILINE)
    assert "alertmanager.yml: good" in out


def test_test_shows_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yml"
    wrong = (
        "signals:\n  wrong:\n    about: Says what it does not give.\n    unit: count\n"
        "    query: sum by (service, environment) (x)\n"
        "    examples: [{name: one, series: {'x{service=\"sample\",environment=\"sample\"}': 1xN}, gives: '2'}]\n"
    )
    path.write_text(GOOD.replace("interval: 30s\n", f"{wrong}interval: 30s\nobserve: [wrong]\n"))
    code, out, _ = _run(capsys, "test", path)
    assert code == 1
    assert "tests/mine.signals.yml" in out
    assert "FAILED" in out


def test_without_the_tools_test_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = _run(capsys, "test", path)
    assert code == 2
    assert "promtool is not on the PATH" in err
