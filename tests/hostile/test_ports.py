"""What a port registry of somebody's pull request says: text in each form, and no command to GitHub's runner."""

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
    said = capsys.readouterr()
    assert ended.value.code in {1, 2}, said
    assert_text(said.out + said.err)
    begun = [row for row in (said.out + said.err).splitlines() if row.startswith("::")]
    assert all(row.startswith("::error file=") for row in begun), begun
    if form == "junit" and ended.value.code == 1:
        ElementTree.fromstring(said.out)  # noqa: S314 - of our own making
