"""The command imports a part only when it is called, and ends with the exit codes that scripts rely on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import click
import pytest

from deploywatch import __version__, cli
from deploywatch.errors import ConfigError, DeploywatchError, Problem, UnreachableError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `deploywatch fake` with something to do; exit code, output, errors."""
    part = ModuleType("fake_part")
    monkeypatch.setitem(sys.modules, "fake_part", part)
    monkeypatch.setattr(cli, "COMMANDS", {"fake": ("fake_part", "Do what the test says.")})

    def begin(what: Callable[[], object] = lambda: None, *arguments: str) -> tuple[int, str, str]:
        @click.command()
        @click.option("--count", type=int)
        def fake(count: int | None) -> object:
            return what()

        part.fake = fake  # type: ignore[attr-defined] # a module made up for the test
        with pytest.raises(SystemExit) as ended:
            cli.main(["fake", *arguments])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return begin


def raising(error: BaseException) -> Callable[[], object]:
    def what() -> object:
        raise error

    return what


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (1, 1), (2, 2), ("text", 0)])
def test_a_command_says_how_it_ended(run: Callable[..., tuple[int, str, str]], value: object, code: int) -> None:
    assert run(lambda: value) == (code, "", "")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DeploywatchError("the file is bad"), 2, "deploywatch: the file is bad\n"),
        (UnreachableError("nobody answers"), 1, "deploywatch: nobody answers\n"),
        (ConfigError([Problem("f", 2, 1, "b", "y"), Problem("f", 1, 1, "a", "x")]), 2, "f:1:1: a: x\nf:2:1: b: y\n"),
        (click.ClickException("not like this"), 2, "Error: not like this\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_an_expected_fault_is_told_without_a_traceback(
    run: Callable[..., tuple[int, str, str]], error: BaseException, code: int, text: str
) -> None:
    found, out, err = run(raising(error))
    assert (found, out) == (code, "")
    assert err.lstrip("\n") == text


def test_a_fault_of_ours_is_not_hidden(run: Callable[..., tuple[int, str, str]]) -> None:
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--count", "many"], ["surplus"]])
def test_wrong_usage_is_2(run: Callable[..., tuple[int, str, str]], arguments: list[str]) -> None:
    code, _, err = run(lambda: None, *arguments)
    assert code == 2
    assert "Usage: deploywatch fake" in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--version"], 0, f"deploywatch, version {__version__}"),
        (["--help"], 0, "Exit codes: 0 all well"),
        (["-h"], 0, "Run the incident"),
        ([], 2, "Usage: deploywatch"),
        (["exportr"], 2, "No such command 'exportr'"),
    ],
)
def test_the_command_itself(arguments: list[str], code: int, text: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploywatch", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == code
    assert text.lower() in (ended.stdout + ended.stderr).lower()
    assert "Traceback" not in ended.stderr


def test_help_names_every_command_and_imports_no_part() -> None:
    code = (
        "import sys\nfrom deploywatch.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules, sep='\\n')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    text, modules = ended.stdout.split("\nsys\n")
    assert all(f"  {name} " in text for name in cli.COMMANDS)
    heavy = {
        "deploywatch.exporter",
        "deploywatch.rules",
        "deploywatch.receiver",
        "deploywatch.grafana",
        "deploywatch.demo",
        "aiohttp",
        "pydantic",
        "sqlalchemy",
    }
    assert heavy.isdisjoint(modules.splitlines())
