"""The wheel: it builds, installs into an empty environment, and works from there with all that it needs inside."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_carries_policies_templates_migrations_and_the_demo(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "rules/policies/demo.yml" in names
    assert "receiver/templates/opened.j2" in names
    assert "receiver/store/migrations/env.py" in names
    assert "deploywatch/demo/files/shop.py" in names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "deploywatch",
        "exporter",
        "rules",
        "receiver",
        "grafana",
    }


def test_it_works_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(ROOT / "constraints.txt"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)

    def deploywatch(*arguments: str) -> str:
        command = [str(python), "-m", "deploywatch", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    assert "From probe to post-mortem" in deploywatch("--help")
    find = "import rules, pathlib; print(pathlib.Path(rules.__file__).parent / 'policies' / 'demo.yml')"
    policy = subprocess.run([str(python), "-c", find], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    deploywatch("rules", "build", policy.strip(), "--out", str(tmp_path / "built"))
    assert (tmp_path / "built" / "alertmanager.yml").is_file()
    (tmp_path / "receiver.yml").write_text("quiet_time: 5m\n")
    assert "good" in deploywatch("receiver", "--config.file", "receiver.yml", "--config.check")
