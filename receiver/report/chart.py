"""A band as the points of a drawing: what was usual as an area with its median, what was measured as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploywatch.receiver.assessment.amounts import shown
from deploywatch.receiver.report.schema import ReportBand

WIDTH, HEIGHT = 600, 160
"""Of the drawing, in its own units; it is as wide as its page."""
_MARGIN = 0.05
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Chart:
    """Points as SVG writes them; `areas` are the hours of which something is usual, each without a gap to the next."""

    areas: tuple[str, ...]
    medians: tuple[str, ...]
    line: str
    lowest: str
    highest: str
    last: str
    about: str


def chart(band: ReportBand) -> Chart:
    """The drawing of a band."""
    begins = [datetime.fromisoformat(point["at"]) for point in band["usual"]]
    moments = [datetime.fromisoformat(value["at"]) for value in band["values"]]
    since, until = min(begins[0], moments[0]), max(begins[-1] + HOUR, moments[-1])
    edges = [point[side] for point in band["usual"] for side in ("low", "high")]
    numbers = [*edges, *(value["value"] for value in band["values"])]
    low, high = min(numbers), max(numbers)
    # A flat line has no height: without room it would divide by zero.
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0

    def x(at: datetime) -> str:
        return f"{WIDTH * ((at - since) / (until - since)):.1f}"

    def y(value: float) -> str:
        return f"{HEIGHT * (1 - (value - low + room) / (high - low + 2 * room)):.1f}"

    areas, medians = [], []
    for run in _runs(begins):
        points = [(begins[index], band["usual"][index]) for index in run]
        # A step for each hour, not a slope between two: nothing says what is usual in between.
        top = [f"{x(edge)},{y(p['high'])}" for at, p in points for edge in (at, at + HOUR)]
        bottom = [f"{x(edge)},{y(p['low'])}" for at, p in reversed(points) for edge in (at + HOUR, at)]
        areas.append(" ".join((*top, *bottom)))
        medians.append(" ".join(f"{x(edge)},{y(p['median'])}" for at, p in points for edge in (at, at + HOUR)))
    unit, last = band["unit"], band["values"][-1]["value"]
    outside = sum(1 for at, value in zip(moments, band["values"], strict=True) if _outside(band, at, value["value"]))
    about = f"{len(moments)} values, {outside} of them outside what is usual; the last is {shown(last, unit)}"
    return Chart(
        tuple(areas),
        tuple(medians),
        " ".join(f"{x(at)},{y(value['value'])}" for at, value in zip(moments, band["values"], strict=True)),
        shown(low, unit),
        shown(high, unit),
        shown(last, unit),
        about,
    )


def _runs(begins: Sequence[datetime]) -> list[list[int]]:
    """Hours that follow each other."""
    runs: list[list[int]] = []
    for index, at in enumerate(begins):
        # An hour that is not known breaks the band, lest the drawing claim something for it.
        if runs and at - begins[runs[-1][-1]] == HOUR:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _outside(band: ReportBand, at: datetime, value: float) -> bool:
    for point in band["usual"]:
        if timedelta() <= at - datetime.fromisoformat(point["at"]) < HOUR:
            return not point["low"] <= value <= point["high"]
    return False
