"""The wheel: it builds, installs into an empty environment, works from there, and takes no other package's name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

# One worker runs all of it: the checkout is built once.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("distribution")]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout in which `scripts/build` has run."""
    copy = tmp_path_factory.mktemp("built") / "copy"

    def left_out(folder: str, names: list[str]) -> set[str]:
        own = {".git", ".venv", "build", "dist", ".mypy_cache"} if Path(folder) == ROOT else set()
        return {*own, "__pycache__"} & set(names)

    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    (copy / "scripts" / "setup").write_text("#!/bin/sh\n")  # what runs this is set up already
    (copy / ".venv").symlink_to(Path(sys.executable).parents[1])
    subprocess.run(["sh", str(copy / "scripts" / "build")], check=True, capture_output=True)
    return copy


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel, which was built from the sdist."""
    (file,) = (built / "dist").glob("*.whl")
    return file


def _run(python: Path, *arguments: str, folder: Path) -> str:
    """What Python prints with these arguments."""
    command = [str(python), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


def test_the_wheel_has_one_name_and_all_that_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info" not in name and ".data/" not in name]
        beside = {name.partition(".data/data/")[2] for name in archive.namelist() if ".data/" in name}
        licences = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
    assert beside == {f"share/deploywatch/systemd/deploywatch-{part}.service" for part in ("exporter", "receiver")}
    assert [name.rsplit("/", 1)[1] for name in licences] == ["LICENSE"]
    assert "deploywatch/rules/policies/demo.yml" in names
    assert "deploywatch/receiver/templates/opened.j2" in names
    assert "deploywatch/receiver/store/migrations/env.py" in names
    assert "deploywatch/demo/files/shop.py" in names
    assert {name.partition("/")[0] for name in names} == {"deploywatch"}
    assert len(names) == len(set(names))


def test_a_wheel_from_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (straight,) = tmp_path.iterdir()
    with zipfile.ZipFile(straight) as first, zipfile.ZipFile(wheel) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_it_works_from_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """In the one whose bill of materials was written: the wheel and what it needs, and nothing else."""
    python = built / "build" / "sbom" / "bin" / "python"

    def deploywatch(*arguments: str) -> str:
        return _run(python, "-m", "deploywatch", *arguments, folder=tmp_path)

    assert "From probe to post-mortem" in deploywatch("--help")
    find = "from deploywatch.rules.builtin_policies import POLICIES; print(POLICIES / 'demo.yml')"
    policy = _run(python, "-c", find, folder=tmp_path).strip()
    assert not Path(policy).is_relative_to(ROOT)
    deploywatch("rules", "build", policy, "--out", str(tmp_path / "rules"))
    assert (tmp_path / "rules" / "alertmanager.yml").is_file()
    assert list((tmp_path / "rules" / "dashboards").iterdir())
    (tmp_path / "receiver.yml").write_text("quiet_time: 5m\n")
    assert "good" in deploywatch("receiver", "--config.file", "receiver.yml", "--config.check")


def test_pypis_rules_works_before_beside_and_after_it(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"

    def pip(*arguments: str) -> None:
        subprocess.run([str(python), "-m", "pip", *arguments, "--quiet"], check=True, capture_output=True)

    def run(code: str) -> str:
        return _run(python, "-c", code, folder=tmp_path)

    theirs = "import rules; from rules import predicate; print(rules.VERSION)"
    # It is an application for Django, which it needs only where it is used with it.
    pip("install", "rules", "--constraint", str(ROOT / "constraints.txt"))
    before = run(theirs)
    pip("install", "--no-deps", str(wheel))
    assert run(theirs) == before
    assert run("import deploywatch; print(deploywatch.__version__)").strip()
    pip("uninstall", "--yes", "deploywatch")
    assert run(theirs) == before


def test_the_bill_of_materials_names_what_an_installation_has_and_nothing_else(built: Path) -> None:
    (file,) = (built / "dist").glob("*.cdx.json")
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "deploywatch")
    listed = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {Requirement(text).name.lower() for text in project["dependencies"]} <= set(listed)
    assert not {"pytest", "ruff", "pip", "bandit"} & set(listed)
    assert all(
        one.get("purl", "").startswith("pkg:pypi/") for one in bill["components"] if one["name"] != "deploywatch"
    )
    pins = dict(row.split("==") for row in (ROOT / "constraints.txt").read_text().splitlines() if "==" in row)
    known = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert all(known.get(name, version) == version for name, version in listed.items())
