"""Panels of a dashboard, as Grafana's JSON model has them: queries, units, threshold lines, descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploywatch.quantity import Unit

# The names of Grafana's own value formats.
UNITS = {
    Unit.SECONDS: "s",
    Unit.RATIO: "percentunit",
    Unit.BYTES: "bytes",
    Unit.MONEY: "currencyUSD",
    Unit.COUNT: "short",
    Unit.PER_SECOND: "reqps",
}

COLORS = {"critical": "red", "high": "orange", "medium": "yellow", "low": "blue"}
GOOD = "green"

_HEIGHT = 8
_WIDTH = 12


@dataclass(frozen=True, slots=True)
class Line:
    """A limit as a line across a panel, in the unit of its values and the color of its severity."""

    value: Decimal
    severity: str
    fires_above: bool


def datasource() -> dict[str, str]:
    """The data source that the dashboard's reader chose."""
    return {"type": "prometheus", "uid": "${datasource}"}


def target(expression: str, legend: str) -> dict[str, Any]:
    """A query over the shown time."""
    return {"refId": "A", "datasource": datasource(), "expr": expression, "legendFormat": legend, "range": True}


def time_series(
    *, title: str, description: str, queries: Sequence[dict[str, Any]], unit: Unit, lines: Sequence[Line] = ()
) -> dict[str, Any]:
    """Values over time, with a line at each limit."""
    defaults: dict[str, Any] = {
        "unit": UNITS[unit],
        "color": {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "line",
            "lineWidth": 2,
            "fillOpacity": 10,
            "showPoints": "never",
            "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if lines else "off"},
        },
        "thresholds": {"mode": "absolute", "steps": _steps(lines)},
    }
    if unit is Unit.RATIO:
        defaults["min"] = 0
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, queries, defaults, options)


def states(*, title: str, description: str, queries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """1 and 0 over time, as well and not well."""
    mapping = {
        "type": "value",
        "options": {
            "0": {"text": "failing", "color": COLORS["critical"], "index": 0},
            "1": {"text": "well", "color": GOOD, "index": 1},
        },
    }
    defaults: dict[str, Any] = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [mapping],
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": None, "color": COLORS["critical"]}, {"value": 1, "color": GOOD}],
        },
    }
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("state-timeline", title, description, queries, defaults, options)


def number(*, title: str, description: str, queries: Sequence[dict[str, Any]], bad_from: int) -> dict[str, Any]:
    """One count now; bad from a value up, and 0 when there is none."""
    steps = [{"value": None, "color": GOOD}, {"value": bad_from, "color": COLORS["critical"]}]
    defaults: dict[str, Any] = {
        "unit": UNITS[Unit.COUNT],
        "decimals": 0,
        "noValue": "0",
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    options = {
        "colorMode": "background",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return _panel("stat", title, description, queries, defaults, options)


def placed(panels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two panels a row, in order, numbered from 1."""
    return [
        panel
        | {
            "id": position + 1,
            "gridPos": {
                "h": _HEIGHT,
                "w": _WIDTH,
                "x": position % 2 * _WIDTH,
                "y": position // 2 * _HEIGHT,
            },
        }
        for position, panel in enumerate(panels)
    ]


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[dict[str, Any]],
    *display: dict[str, Any],
) -> dict[str, Any]:
    defaults, options = display
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": datasource(),
        "targets": [query | {"refId": chr(ord("A") + position)} for position, query in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def _steps(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The base and a step at each limit, ascending; a limit that fires below colors what is under it."""
    ordered = sorted({line.value: line for line in lines}.values(), key=lambda line: line.value)
    steps: list[dict[str, Any]] = [{"value": None, "color": GOOD}]
    for line in ordered:
        if line.fires_above:
            steps.append({"value": float(line.value), "color": COLORS[line.severity]})
        else:
            steps[-1]["color"] = COLORS[line.severity]
            steps.append({"value": float(line.value), "color": GOOD})
    return steps
