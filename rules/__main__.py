"""Builds the shipped policies into rules/generated: `python -m rules`; `python -m grafana` does its dashboards."""

from __future__ import annotations

from rules.build import build, write
from rules.loading import load
from rules.shipped import GENERATED, POLICIES

if __name__ == "__main__":
    for path in sorted(POLICIES.glob("*.yml")):
        write(build([load(path, variables={})]), GENERATED / path.stem)
