"""What may be installed beside us: no release with a hole that is known and that what we do could meet."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

TOP = Path(__file__).parents[1]
HOLES = {
    "aiohttp": "3.13.3",  # CVE-2026-22815, CVE-2026-34516, CVE-2026-34517: memory without bounds by headers and forms
    "brotli": "1.1.0",  # CVE-2025-6176: what a bomb decompresses to cannot be bounded
    "cryptography": "46.0.4",  # CVE-2026-26007: points of small subgroups are taken as keys
    "jinja2": "3.1.5",  # CVE-2025-27516: out of the sandbox by |attr
}
"""The last release that has the hole."""


@pytest.mark.parametrize(("name", "release"), HOLES.items())
def test_no_release_with_a_known_hole_is_admitted(name: str, release: str) -> None:
    texts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    admitted = {wanted.name: wanted.specifier for wanted in map(Requirement, texts)}
    assert release not in admitted[name]


def test_what_is_tested_with_is_what_may_be_installed() -> None:
    texts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = [line for line in (TOP / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {pin.name.lower().replace("_", "-"): pin.specifier for pin in map(Requirement, lines)}
    for wanted in map(Requirement, texts):
        (pin,) = pinned[wanted.name.lower()]
        assert pin.version in wanted.specifier
