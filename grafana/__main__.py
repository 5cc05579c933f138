"""Writes the dashboards of the shipped policies into grafana/dashboards: `python -m grafana`."""

from __future__ import annotations

from pathlib import Path

from grafana.dashboards import dashboard_files
from rules.build import Files
from rules.loading import load_all
from rules.shipped import POLICIES

FOLDER = Path(__file__).parent


def files() -> Files:
    """Every shipped policy's dashboard, by its path below this folder."""
    shipped = load_all(sorted(POLICIES.glob("*.yml")))
    return {name: text for policy in shipped for name, text in dashboard_files(policy)}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
