"""Builds the shipped policies into rules/generated; `python -m deploywatch.grafana` does their dashboards."""

from __future__ import annotations

from deploywatch.rules.build import build, write
from deploywatch.rules.builtin_policies import GENERATED, POLICIES
from deploywatch.rules.loading import load

if __name__ == "__main__":
    for path in sorted(POLICIES.glob("*.yml")):
        write(build([load(path, variables={})]), GENERATED / path.stem)
