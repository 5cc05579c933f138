"""The pages about people: every config on them is good, every command is there, every metric is exposed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Group
from click.testing import CliRunner

from deploywatch import config
from deploywatch.cli import cli
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.response import DEADLINES
from tests.receiver.scene import MINUTE

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {name: (DOCS / name).read_text() for name in ("incidents.md", "oncall.md")}
CONFIGS = [(name, text) for name, page in PAGES.items() for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
COMMANDS = sorted(
    {m for page in PAGES.values() for m in re.findall(r"^deploywatch (\w+(?: \w+)?)", page, re.MULTILINE)}
)


@pytest.mark.parametrize(("name", "text"), CONFIGS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CONFIGS)])
def test_every_config_on_the_pages_is_good(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "receiver.yml"
    file.write_text(text)
    assert config.load(file, ReceiverConfig), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_on_the_pages_is_there(command: str) -> None:
    assert isinstance(cli, Group)
    ran = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert ran.exit_code == 0, ran.output


def test_the_deadlines_on_the_page_are_those_of_the_tables() -> None:
    units = {"min": 1, "h": 60}
    rows = re.findall(r"^\| (critical|high|medium|low) \|(.*)", PAGES["oncall.md"], re.MULTILINE)
    assert [severity for severity, _ in rows] == ["critical", "high", "medium", "low"]
    for row in rows:
        cells = [cell.split() for cell in row[1].split("|")[:3]]
        minutes = [int(number) * units[unit] for number, unit in cells]
        found = [table[severity] / MINUTE for table in DEADLINES.values() for severity in table if severity == row[0]]
        assert minutes == found


def test_the_states_on_the_page_are_those_of_the_document() -> None:
    states = re.findall(r"^\| `(\w+)` \|", PAGES["incidents.md"].partition("## What people do")[0], re.MULTILINE)
    assert states == ["open", "acknowledged", "mitigating", "monitoring", "resolved"]
