"""Every dashboard that there is, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploywatch.grafana.dashboards import of_policy, shared
from deploywatch.rules.loading import load
from deploywatch.rules.resolve import resolve
from tests.rules.tools import SHIPPED, shipped

JUDGING = load(Path(__file__).parent / "judging.yml", variables={})
"""A policy that uses all that dashboards can show."""
OBJECTIVES = load(Path(__file__).parent / "objectives.yml", variables={})
"""A policy with objectives of every kind, and with alerts about parts of its series."""

POLICIES = {path.stem: resolve(shipped(path.stem)) for path in SHIPPED} | {
    given.policy: resolve(given) for given in (JUDGING, OBJECTIVES)
}
MODELS: dict[str, dict[str, Any]] = {
    name: dashboard.model()
    for some in (shared(), *(of_policy(policy) for policy in POLICIES.values()))
    for name, dashboard in some.items()
}


def panels(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard, without the heads of rows."""
    yield from (panel for panel in model["panels"] if panel["type"] != "row")


def panel(model: dict[str, Any], title: str) -> dict[str, Any]:
    """The one panel of this title."""
    (found,) = (panel for panel in panels(model) if panel["title"] == title)
    return found
