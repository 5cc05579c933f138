"""What may be installed beside us: no release with a hole that is known and that what we do could meet."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.audit import ask, judge

TOP = Path(__file__).parents[1]
HOLES = {
    "aiohttp": "3.13.3",  # CVE-2026-22815, CVE-2026-34516, CVE-2026-34517: memory without bounds by headers and forms
    "brotli": "1.1.0",  # CVE-2025-6176: what a bomb decompresses to cannot be bounded
    "cryptography": "46.0.4",  # CVE-2026-26007: points of small subgroups are taken as keys
    "jinja2": "3.1.5",  # CVE-2025-27516: out of the sandbox by |attr
}
"""The last release that has the hole."""
LACKS = {"aiohttp": "3.13.99"}  # web.RequestKey, without which neither server begins
"""The last release that cannot run us; `scripts/oldest` tries the first of each that can."""
EXTRAS = {"apprise": "1.13.0"}  # follows redirects, with a token, and has no setting for it


@pytest.mark.parametrize(("name", "release"), [*HOLES.items(), *LACKS.items()])
def test_no_release_with_a_known_hole_is_admitted(name: str, release: str) -> None:
    texts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    admitted = {wanted.name: wanted.specifier for wanted in map(Requirement, texts)}
    assert release not in admitted[name]


def test_each_library_of_each_extra_has_a_lower_bound() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    groups = {"": project["project"]["dependencies"], **project["project"]["optional-dependencies"]}
    unbounded = [
        f"{extra}: {wanted}"
        for extra, texts in groups.items()
        for wanted in map(Requirement, texts)
        if "deploywatch" not in wanted.name
        and not any(part.operator in (">=", "==", "~=") for part in wanted.specifier)
    ]
    assert not unbounded


@pytest.mark.parametrize(("name", "release"), EXTRAS.items())
def test_no_extra_admits_a_release_that_does_what_is_promised_not_to_be_done(name: str, release: str) -> None:
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [each for texts in extras.values() for each in map(Requirement, texts) if each.name == name]
    assert wanted
    assert not any(release in each.specifier for each in wanted)


def test_what_is_tested_with_is_what_may_be_installed() -> None:
    texts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = [line for line in (TOP / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {pin.name.lower().replace("_", "-"): pin.specifier for pin in map(Requirement, lines)}
    for wanted in map(Requirement, texts):
        (pin,) = pinned[wanted.name.lower()]
        assert pin.version in wanted.specifier


def test_the_lock_has_each_dependency_as_tested_with_hashes_and_no_address() -> None:
    """`scripts/lock` makes it. What constraints.txt does not know never runs on the machines that it is for."""
    text = (TOP / "requirements.lock").read_text()
    entries = [entry for entry in re.split(r"\n(?=[a-z])", text) if not entry.startswith("#")]
    locked: dict[str, Requirement] = {}
    for entry in entries:
        wanted = Requirement(entry.partition(" \\")[0])
        locked[canonicalize_name(wanted.name)] = wanted
        assert "--hash=sha256:" in entry, f"{wanted.name} has no hash"
    texts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {canonicalize_name(Requirement(text).name) for text in texts} <= locked.keys(), "run: scripts/lock"
    pins = dict(row.split("==") for row in (TOP / "constraints.txt").read_text().splitlines() if "==" in row)
    known = {str(canonicalize_name(name)): version for name, version in pins.items()}
    differ = {name for name, wanted in locked.items() if str(wanted.specifier) != f"=={known.get(name)}"}
    assert differ <= {"httpx2-jsfetch"}, "run: scripts/lock"
    assert "://" not in text
    assert "async-timeout" in locked, "redis wants it on Debian 12's Python 3.11.2"
    assert locked["async-timeout"].marker is not None
    assert locked["async-timeout"].marker.evaluate({"python_full_version": "3.11.2"})


def _of(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1", "vulns": [], **more}


HOLE = {"id": "CVE-2026-1", "fix_versions": ["2"], "aliases": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found and could not be audited"}


def test_a_hole_is_named_and_ends_the_lint() -> None:
    lines, bad = judge({"dependencies": [_of("a", vulns=[HOLE]), _of("b")]})
    assert bad
    assert "a 1 has CVE-2026-1; mended in 2" in lines[0]


@pytest.mark.parametrize("report", [{}, {"dependencies": []}, {"dependencies": [SKIPPED, SKIPPED]}])
def test_what_could_not_be_audited_is_said_loudly_and_is_no_pass(report: dict[str, object]) -> None:
    lines, bad = judge(report)
    assert not bad
    assert lines[0].startswith("audit: NOT AUDITED")


def test_a_library_that_nobody_knows_is_named_beside_those_that_are_well() -> None:
    lines, bad = judge({"dependencies": [_of("a"), SKIPPED]})
    assert (list(lines), bad) == (["audit: NOT AUDITED: b", "audit: 1 libraries, 0 known holes"], False)


def test_the_auditor_itself_is_asked() -> None:
    """Whatever can be reached: pip-audit reads our pins, and answers in the form that is judged."""
    lines, _ = judge(ask(["jinja2==3.1.5"]))
    assert "NOT AUDITED" in lines[0] or "jinja2 3.1.5 has" in lines[0]
