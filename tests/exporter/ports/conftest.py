"""Runs `deploywatch ports` in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from deploywatch import cli

Write = Callable[[Mapping[str, str]], None]


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Ran]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into the folder that is worked in."""
    monkeypatch.chdir(tmp_path)

    def written(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return written


@pytest.fixture
def run(write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `deploywatch ports` on files."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def ran(files: Mapping[str, str], *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        write(files)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main(["ports", *arguments])
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, *capsys.readouterr())

    return ran
