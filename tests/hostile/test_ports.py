"""What files of somebody's pull request say to what a pipeline calls: text in each form, no command to a runner."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploywatch.cli import main
from tests.hostile.texts import TEXTS, assert_text


@pytest.mark.parametrize("form", ["table", "json", "junit", "ci"])
@pytest.mark.parametrize("name", [*TEXTS, "commands"])
def test_each_form_of_a_conflict_is_text(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    commands = "a\n::stop-commands::x\r::error::FORGED%0A::add-mask::b\u2028::warning::c, file=d,line=1::e"
    text = TEXTS.get(name, commands)[:2000].encode("utf-8", "replace").decode()
    entry = {"start": 8080, "description": text}
    registry = tmp_path / "port-registry.json"
    registry.write_text(json.dumps({text: {text: entry}, f"{text} 2": {text: entry}}))
    words = ["--ci"] if form == "ci" else ["--format", form]
    with pytest.raises(SystemExit) as ended:
        main(["ports", "check", "--registry", str(registry), *words])
    printed = capsys.readouterr()
    assert ended.value.code in {1, 2}, printed
    assert_text(printed.out + printed.err)
    begun = [row for row in (printed.out + printed.err).splitlines() if row.startswith("::")]
    assert all(row.startswith("::error file=") for row in begun), begun
    if form == "junit" and ended.value.code == 1:
        ElementTree.fromstring(printed.out)  # noqa: S314 - of our own making


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("name", TEXTS)
def test_what_is_shown_of_a_registry_is_text(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20000")  # a cell that is wrapped goes on below itself
    text = TEXTS[name][:2000].encode("utf-8", "replace").decode()
    registry = tmp_path / "port-registry.json"
    registry.write_text(json.dumps({text: {text: {"start": 8080, "description": text}}}))
    with pytest.raises(SystemExit) as ended:
        main(["ports", "show", "--registry", str(registry), "--format", form])
    printed = capsys.readouterr()
    assert ended.value.code in {0, 2}, printed
    assert_text(printed.out + printed.err)


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_migration_s_plan_says_is_text(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TEXTS[name][:2000].encode("utf-8", "replace").decode()
    plan = tmp_path / "plan.yml"
    sql = {"sql": "SELECT 1", "name": text, "expect": "= 1"}
    parts = {"name": text, "service": text, "environment": text, "backup": {"none": text}, "validate": [sql]}
    database = {"dsn": "postgresql://ann:hunter2-secret@127.0.0.1:1/shop"}
    plan.write_text(json.dumps({**parts, "database": database, "transaction": [{"sql": text}, {"file": text}]}))
    with pytest.raises(SystemExit) as ended:
        main(["migrate", str(plan), "--dry-run"])
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed
    assert_text(printed.out + printed.err)
    assert "hunter2" not in printed.out + printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", TEXTS)
def test_what_load_says_of_a_url_is_text(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXTS[name][:500].encode("utf-8", "replace").decode()
    baseline = tmp_path / "before.json"
    baseline.write_text(json.dumps({text: text}))
    for words in ((f"http://127.0.0.1:1/{text}",), ("http://127.0.0.1:1/", "--baseline", str(baseline)), (text,)):
        with pytest.raises(SystemExit) as ended:
            main(["load", *words, "--duration", "0.1s", "--users", "1", "--format", form])
        printed = capsys.readouterr()
        assert ended.value.code in {2, 3, 4}, printed
        assert_text(printed.out + printed.err)
        assert "Traceback" not in printed.err
