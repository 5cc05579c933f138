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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    return _build("--wheel", tmp_path_factory.mktemp("wheel"))


def _build(what: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "build", what, "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


class Environment:
    """A virtual environment with nothing in it but pip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)

    def pip(self, *arguments: str) -> None:
        """Run pip there; what it installs is of the versions that the tests run with."""
        if arguments[0] == "install":
            arguments = (*arguments, "--constraint", str(ROOT / "constraints.txt"))
        subprocess.run([str(self.python), "-m", "pip", *arguments, "--quiet"], check=True, capture_output=True)

    def run(self, *arguments: str) -> str:
        """What Python prints with these arguments."""
        command = [str(self.python), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=self.folder).stdout


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
    sdist = _build("--sdist", tmp_path)
    unpacked = tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "tarfile", "-e", str(sdist), str(unpacked)], check=True)
    (source,) = unpacked.iterdir()
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "again"),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (again,) = (tmp_path / "again").iterdir()
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_it_works_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.pip("install", str(wheel))

    def deploywatch(*arguments: str) -> str:
        return environment.run("-m", "deploywatch", *arguments)

    assert "From probe to post-mortem" in deploywatch("--help")
    find = "from deploywatch.rules.builtin_policies import POLICIES; print(POLICIES / 'demo.yml')"
    deploywatch("rules", "build", environment.run("-c", find).strip(), "--out", str(tmp_path / "built"))
    assert (tmp_path / "built" / "alertmanager.yml").is_file()
    assert list((tmp_path / "built" / "dashboards").iterdir())
    (tmp_path / "receiver.yml").write_text("quiet_time: 5m\n")
    assert "good" in deploywatch("receiver", "--config.file", "receiver.yml", "--config.check")


def test_pypis_rules_works_before_beside_and_after_it(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    theirs = "import rules; from rules import predicate; print(rules.VERSION)"
    # It is an application for Django, which it needs only where it is used with it.
    environment.pip("install", "rules")
    before = environment.run("-c", theirs)
    environment.pip("install", "--no-deps", str(wheel))
    assert environment.run("-c", theirs) == before
    assert environment.run("-c", "import deploywatch; print(deploywatch.__version__)").strip()
    environment.pip("uninstall", "--yes", "deploywatch")
    assert environment.run("-c", theirs) == before


def test_the_bill_of_materials_names_what_an_installation_has_and_nothing_else(tmp_path: Path) -> None:
    """As `scripts/build` makes it, in a copy."""
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(copy)], check=True)
    for name in ("scripts/build", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, copy / name)
    (copy / "scripts" / "setup").write_text("#!/bin/sh\n")  # what runs this is set up already
    (copy / ".venv").symlink_to(Path(sys.executable).parents[1])
    subprocess.run(["sh", str(copy / "scripts" / "build")], check=True, capture_output=True)
    (file,) = (copy / "dist").glob("*.cdx.json")
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
