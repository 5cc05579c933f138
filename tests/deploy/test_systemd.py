"""The units: what they say, held against systemd's own tools where these are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import forked

UNITS = sorted((Path(__file__).parents[2] / "deploy/systemd").glob("*.service"))
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_exposed_less_than_two_of_ten(unit: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    score = re.search(r"exposure level for \S+: ([\d.]+)", ran.stdout)
    assert score is not None, ran.stdout + ran.stderr
    assert float(score[1]) < 2


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_started_when_it_listens_and_keeps_its_metrics(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "Type=notify" in lines
    assert any(line.startswith("ExecReload=") and "kill -HUP $MAINPID" in line for line in lines)
    # It would hide /proc/stat, and with it process_*.
    assert not any(line.startswith("ProcSubset") for line in lines)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_starts_is_a_command_of_ours(unit: Path) -> None:
    text = unit.read_text().replace("\\\n", " ")
    (start,) = re.findall(r"^ExecStart=\S+/deploywatch (.*)$", text, flags=re.MULTILINE)
    part, *options = start.split()
    ran = forked.run(part, "--help")
    assert ran.returncode == 0
    assert all(option.partition("=")[0] in ran.stdout for option in options)
