"""Every command that the pages show is one that the command line takes: its name, its options, and their places."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploywatch.cli import cli

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [
        *(path for path in (ROOT / "docs").rglob("*.md") if path.name not in {"decisions.md", "reference.md"}),
        *(
            path
            for folder in ("deploy", "examples", "bench")
            for path in (ROOT / folder).rglob("*.*")
            if path.suffix in {".md", ".yml", ".yaml", ".sh", ".txt"}
        ),
        *ROOT.glob("*.md"),
        *(ROOT / "tests" / "rules" / "golden").rglob("*.md"),
    ]
)
# Where a command of ours ends and the shell goes on.
END = re.compile(r"^(\||\|\||&&|;|&|>|>>|<|2>.*|#.*|…|\.\.\.|\)|do|then)$")


def commands(text: str) -> Iterator[str]:
    """What follows `deploywatch` where it is a command: at the start of a line of code, or of code in a sentence."""
    joined = re.sub(r"\\\n\s*", " ", text)
    begin = r"(?:^|[(|&;]) *(?:\$ )?(?:\w+=(?:\$\([^)]*\)|\S*) +)*(?:/\S+/bin/)?deploywatch +(.+)$"
    for block in re.findall(r"^ *```(?:sh|console|bash)?\n(.*?)^ *```", joined, re.MULTILINE | re.DOTALL):
        yield from re.findall(begin, block, re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", re.sub(r"\n *#? ?", " ", joined)):
        if called := re.match(r"deploywatch +(.+)", code):
            yield called[1]
    # In a comment, or set off by spaces.
    for line in re.findall(r"^(?: {4,}|# {2,})(.+)$", joined, re.MULTILINE):
        yield from re.findall(begin, line)


def words(command: str) -> list[str]:
    """The command's words up to where the shell goes on; brackets around what is optional are left out."""
    found: list[str] = []
    # The quote of a snippet whose line has only its end: `sh '…'`.
    command = command.removesuffix("'") if command.count("'") % 2 else command
    whole = re.sub(r"\$\([^)]*\)", "x", re.sub(r"\s+#.*$", "", command))
    for word in shlex.split(re.sub(r"[\[\]]|\.\.\.(?= |$)", " ", whole).replace(");", " ; ").replace(";", " ; ")):
        if END.match(word):
            break
        found.append(word.rstrip(")"))
    return found


def fault(given: list[str]) -> str:
    """What the command line has against these words; empty when it takes them."""
    command: click.Command = cli
    context: click.Context | None = None
    rest = given
    while True:
        context = click.Context(command, info_name=command.name, parent=context)
        try:
            _, rest, _ = command.make_parser(context).parse_args(list(rest))
        except click.BadOptionUsage as error:
            # An option that is only named, at the end: `deploywatch check --shard`.
            return "" if given[-1] == error.option_name else error.format_message()
        except click.UsageError as error:
            return error.format_message()
        if not isinstance(command, click.Group):
            # A variable may hold options.
            return f"too much: {rest}" if [word for word in rest if not word.startswith("$")] else ""
        if not rest:
            return ""
        below = command.get_command(context, rest[0])
        if below is None:
            return f"no command {rest[0]}"
        command, rest = below, rest[1:]


def test_every_command_in_the_pages_is_one_that_the_command_line_takes() -> None:
    seen, faults = 0, []
    for path in FILES:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for command in commands(text):
            seen += 1
            if said := fault(words(command)):
                faults.append(f"{path.relative_to(ROOT)}: deploywatch {command}: {said}")
    assert faults == []
    assert seen > 100


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("incidents --url http://x list --open | head", ""),
        ("incidents list --url http://x", "No such option '--url'."),
        ("incident list", "no command incident"),
        ("rules build a.yml --out", ""),
        ("rules check", ""),
    ],
)
def test_what_the_command_line_does_not_take_is_told(command: str, expected: str) -> None:
    assert fault(words(command)) == expected
