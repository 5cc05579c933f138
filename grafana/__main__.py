"""Writes dashboards: `python -m deploywatch.grafana` those that are committed, with FOLDER the shared ones."""

from __future__ import annotations

import sys
from pathlib import Path

from deploywatch.grafana.dashboards import dashboard_files, shared_files
from deploywatch.rules.build import Files
from deploywatch.rules.builtin_policies import POLICIES
from deploywatch.rules.loading import load_all
from deploywatch.rules.resolve import resolve

FOLDER = Path(__file__).parent


def files() -> Files:
    """Every shipped policy's dashboards and the shared ones, by their path below this folder."""
    shipped = load_all(sorted(POLICIES.glob("*.yml")))
    return dict(shared_files()) | {name: text for policy in shipped for name, text in dashboard_files(resolve(policy))}


def write() -> None:
    """Make dashboards/ hold these files, and no others."""
    made = files()
    for path in (FOLDER / "dashboards").glob("*.json"):
        if f"dashboards/{path.name}" not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def write_shared(folder: Path) -> None:
    """Put the dashboards that all policies share beside those that `rules build` wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in shared_files():
        (folder / Path(name).name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        write_shared(Path(sys.argv[1]))
    else:
        write()
