"""`scripts/setup` on a system that is not Debian: it installs no packages, and says all that is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TOOLS = ("sh", "dirname", "sed", "cat", "cksum")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A checkout whose environment notes what it is asked to install, and a PATH without a package manager."""

    checkout: Path
    path: Path

    def provide(self, *programs: str) -> None:
        """Put programs on the PATH that do nothing."""
        for program in programs:
            _script(self.path / program, "")

    def setup(self, packages: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        script = str(self.checkout / "scripts" / "setup")
        command = [str(self.path / "sh"), script, "--extras", "test", "--packages", packages]
        return subprocess.run(command, env={"PATH": str(self.path)}, capture_output=True, text=True, check=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    checkout, path = tmp_path / "checkout", tmp_path / "bin"
    for folder in (checkout / "scripts", checkout / ".venv" / "bin", path):
        folder.mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup"):
        shutil.copy(ROOT / name, checkout / name)
    _script(checkout / ".venv" / "bin" / "python", 'echo "$*" > .venv/asked')
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found
        (path / tool).symlink_to(found)
    _script(path / "python3", f'exec {sys.base_prefix}/bin/python3 "$@"')
    return Elsewhere(checkout, path)


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_everything_missing_is_listed_at_once_and_nothing_else(elsewhere: Elsewhere) -> None:
    elsewhere.provide("prometheus", "alertmanager")
    done = elsewhere.setup("postgresql prometheus prometheus-alertmanager kubernetes-client")
    first, *listed = done.stderr.splitlines()
    assert done.returncode == 1
    assert "nothing is installed here" in first
    assert [line.removeprefix("setup:   ") for line in listed] == [
        "initdb (PostgreSQL's server)",
        "postgres",
        "promtool",
        "amtool",
        "kubectl",
    ]
    assert not (elsewhere.checkout / ".venv" / "asked").exists()


def test_with_all_of_it_there_under_any_of_its_names_the_distribution_is_installed(elsewhere: Elsewhere) -> None:
    elsewhere.provide("alertmanager", "amtool", "blackbox_exporter")
    done = elsewhere.setup("prometheus-alertmanager prometheus-blackbox-exporter")
    assert (done.returncode, done.stderr) == (0, "setup: installing the distribution into .venv\n")
    assert "--editable .[test]" in (elsewhere.checkout / ".venv" / "asked").read_text()


def test_the_extras_that_scripts_ask_for_are_there_and_are_named_as_pip_reads_them() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    written = re.compile(r'^ *scripts/setup .*--extras ("[^"]*"|\S+)', re.MULTILINE)
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    asked = [extras for script in scripts for extras in written.findall(script.read_text())]
    assert len(asked) > 10
    for extras in asked:
        assert set(extras.strip('"').split(",")) <= known, extras
