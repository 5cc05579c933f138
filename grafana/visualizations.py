"""How a panel shows its values: lines over time, states over time, one number, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Protocol

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
PER_SECOND = "ops"
DATE = "dateTimeAsIso"
"""Of a time in milliseconds."""

COLORS = {"critical": "red", "high": "orange", "medium": "yellow", "low": "blue"}
GOOD, WARNING, BAD, EARLIER = "green", "yellow", "red", "gray"

WELL: Mapping[float, tuple[str, str]] = {0: ("failing", BAD), 1: ("well", GOOD)}
"""What 0 and 1 mean of a probe."""


class Look(Protocol):
    """A kind of panel with its settings."""

    kind: ClassVar[str]

    def defaults(self) -> dict[str, Any]:
        """The panel's `fieldConfig.defaults`."""
        ...

    def options(self) -> dict[str, Any]:
        """The panel's `options`."""
        ...

    def transformations(self) -> list[dict[str, Any]]:
        """What is done to the answers before they are shown."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A limit as a line across a panel, in the unit of its values and the color of its severity."""

    value: Decimal
    severity: str
    fires_above: bool


@dataclass(frozen=True, slots=True)
class Lines:
    """Values over time, with a line at each limit; `stacked` where their sum means something."""

    kind: ClassVar[str] = "timeseries"
    unit: str
    limits: Sequence[Line] = ()
    stacked: bool = False

    def defaults(self) -> dict[str, Any]:
        """Lines, and a threshold step a limit."""
        custom: dict[str, Any] = {
            "drawStyle": "line",
            "lineWidth": 1 if self.stacked else 2,
            "fillOpacity": 40 if self.stacked else 10,
            "showPoints": "never",
            # A gap is a gap: a line drawn over it would claim that something was measured.
            "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if self.limits else "off"},
        }
        if self.stacked:
            custom["stacking"] = {"mode": "normal", "group": "A"}
        bottom = {"min": 0} if self.unit == UNITS[Unit.RATIO] else {}
        return bottom | {
            "unit": self.unit,
            "color": {"mode": "palette-classic"},
            "custom": custom,
            "thresholds": {"mode": "absolute", "steps": _steps(self.limits)},
        }

    def options(self) -> dict[str, Any]:
        """A legend with the last and the highest value."""
        calcs = ["lastNotNull", "max"]
        return {
            "legend": {"calcs": calcs, "displayMode": "table", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def transformations(self) -> list[dict[str, Any]]:
        """None."""
        return []


@dataclass(frozen=True, slots=True)
class States:
    """Numbers over time, each with a word and a color."""

    kind: ClassVar[str] = "state-timeline"
    words: Mapping[float, tuple[str, str]] = field(default_factory=lambda: WELL)

    def defaults(self) -> dict[str, Any]:
        """A mapping from each number to its word."""
        named = {
            f"{value:g}": {"text": text, "color": color, "index": place}
            for place, (value, (text, color)) in enumerate(sorted(self.words.items()))
        }
        colors = [color for _, (_, color) in sorted(self.words.items())]
        values = [None, *sorted(self.words)[1:]]
        steps = [{"value": value, "color": color} for value, color in zip(values, colors, strict=True)]
        return {
            "unit": "none",
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 80, "lineWidth": 0},
            "mappings": [{"type": "value", "options": named}],
            "thresholds": {"mode": "absolute", "steps": steps},
        }

    def options(self) -> dict[str, Any]:
        """A row a series, its name beside it."""
        return {
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.9,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        }

    def transformations(self) -> list[dict[str, Any]]:
        """None."""
        return []


@dataclass(frozen=True, slots=True)
class Number:
    """One value as of now; `steps` are the values from which a color holds, and `none` stands for no value."""

    kind: ClassVar[str] = "stat"
    unit: str
    steps: Sequence[tuple[float, str]] = ()
    base: str = GOOD
    decimals: int | None = None
    none: str = "no data"
    names: bool = False

    def defaults(self) -> dict[str, Any]:
        """The color by the value."""
        places = {} if self.decimals is None else {"decimals": self.decimals}
        steps = [{"value": None, "color": self.base}, *({"value": at, "color": color} for at, color in self.steps)]
        return places | {
            "unit": self.unit,
            "noValue": self.none,
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": steps},
        }

    def options(self) -> dict[str, Any]:
        """The last value, with how it came about behind it."""
        return {
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value_and_name" if self.names else "auto",
        }

    def transformations(self) -> list[dict[str, Any]]:
        """None."""
        return []


@dataclass(frozen=True, slots=True)
class Table:
    """A row a series, a column a label; `columns` gives the labels that are shown, in order, with their heads.

    `Value` is the value's column; it is left out unless named, and shown in `unit`.
    """

    kind: ClassVar[str] = "table"
    columns: Mapping[str, str]
    unit: str = "short"

    def defaults(self) -> dict[str, Any]:
        """Plain cells."""
        return {
            "unit": self.unit,
            "noValue": "none",
            "color": {"mode": "thresholds"},
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}},
            "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": "text"}]},
        }

    def options(self) -> dict[str, Any]:
        """Heads above the columns."""
        return {"showHeader": True, "cellHeight": "sm"}

    def transformations(self) -> list[dict[str, Any]]:
        """Only the named columns, in their order."""
        hidden = {name: True for name in ("Time", "Value") if name not in self.columns}
        order = {name: place for place, name in enumerate(self.columns)}
        kept = {"excludeByName": hidden, "indexByName": order, "renameByName": dict(self.columns)}
        return [{"id": "organize", "options": kept}]


def _steps(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The base and a step at each limit, ascending; a limit that fires below colors what is under it."""
    ordered = sorted({line.value: line for line in lines}.values(), key=lambda line: line.value)
    steps: list[dict[str, Any]] = [{"value": None, "color": GOOD}]
    for line in ordered:
        # Grafana colours upwards from each step; a limit that fires below colours what lies under it.
        if line.fires_above:
            steps.append({"value": float(line.value), "color": COLORS[line.severity]})
        else:
            steps[-1]["color"] = COLORS[line.severity]
            steps.append({"value": float(line.value), "color": GOOD})
    return steps
