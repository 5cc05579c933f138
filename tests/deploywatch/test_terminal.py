"""The command line prints text: what others wrote is nobody's markup, and no terminal obeys it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from deploywatch import cli
from deploywatch.errors import UnreachableError
from deploywatch.terminal import as_json, clean, say

TOP = Path(__file__).parents[2]
HOSTILE = "[/var/log] \x1b[31m\x1b]52;c;ZXZpbA==\x07 \x9b2J \u202eevil \u2066x \ud800 \x08\x7f"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_what_is_said_has_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say(HOSTILE, err=True)
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert "[/var/log]" in text
        assert OBEYED.search(text) is None


def test_line_ends_of_every_kind_are_one_kind_and_a_bell_is_only_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert clean("a\r\nb\rc\u2028d\x85e") == "a\nb\nc\nd\ne"
    say("worse\a", bell=True)
    assert capsys.readouterr().out == "\aworse\n"


@pytest.mark.parametrize("error", [UnreachableError(HOSTILE), click.UsageError(HOSTILE), click.ClickException(HOSTILE)])
def test_errors_that_quote_others_are_text_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(SystemExit):
        cli.main([])
    printed = capsys.readouterr()
    assert "[/var/log]" in printed.err
    assert OBEYED.search(printed.out + printed.err) is None


def test_json_keeps_what_it_escapes() -> None:
    text = as_json({"né": HOSTILE})
    assert OBEYED.search(text) is None
    assert "né" in text
    assert json.loads(text) == {"né": HOSTILE}


def test_every_output_of_a_command_goes_through_the_one_function() -> None:
    own = TOP / "deploywatch" / "terminal.py"
    files = [
        file for part in ("deploywatch", "exporter", "receiver", "rules", "grafana") for file in _python(TOP / part)
    ]
    assert own in files
    prints = re.compile(r"\bclick\.(echo|secho)\(|(?<![.\w])print\(")
    assert [str(file) for file in files if file != own and prints.search(file.read_text())] == []


def _python(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*.py") if "fakes" not in file.parts]
