"""A panel and a row of panels, as Grafana's JSON model has them, each in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deploywatch.grafana.queries import Query, datasource
from deploywatch.grafana.visualizations import Look

# Grafana's grid.
_WIDEST = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """What is shown, why, and how; `width` in Grafana's 24 columns, `height` in its rows of 30 pixels."""

    title: str
    about: str
    queries: Sequence[Query]
    look: Look
    width: int = 12
    height: int = 8

    def model(self, number: int, x: int, y: int) -> dict[str, Any]:
        """The panel at its place."""
        lettered = [(chr(ord("A") + place), query) for place, query in enumerate(self.queries)]
        return {
            "id": number,
            "type": self.look.kind,
            "title": self.title,
            "description": self.about,
            "datasource": datasource(),
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [query.target(letter) for letter, query in lettered],
            "fieldConfig": {
                "defaults": self.look.defaults(),
                "overrides": [_dashed(letter, query.dashed) for letter, query in lettered if query.dashed],
            },
            "options": self.look.options(),
            "transformations": self.look.transformations(),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together, under a title."""

    title: str
    panels: Sequence[Panel]


def placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Row by row, panels from left to right, numbered from 1; a row without panels is left out."""
    models: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        if not row.panels:
            continue
        models.append(_head(row, len(models) + 1, top))
        top += 1
        for line in _lines(row.panels):
            x = 0
            for panel in line:
                models.append(panel.model(len(models) + 1, x, top))
                x += panel.width
            top += max(panel.height for panel in line)
    return models


def _lines(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """As many panels beside each other as fit."""
    line: list[Panel] = []
    for panel in panels:
        if sum(placed.width for placed in line) + panel.width > _WIDEST:
            yield line
            line = []
        line.append(panel)
    yield line


def _head(row: Row, number: int, top: int) -> dict[str, Any]:
    place = {"h": 1, "w": _WIDEST, "x": 0, "y": top}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}


def _dashed(letter: str, color: str) -> dict[str, Any]:
    properties = {
        "color": {"mode": "fixed", "fixedColor": color},
        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
        "custom.fillOpacity": 0,
    }
    return {
        "matcher": {"id": "byFrameRefID", "options": letter},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }
