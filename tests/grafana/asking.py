"""Asks a dashboard's questions of a real Prometheus, with its variables filled in as Grafana fills them in."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BUILT_IN = {"__interval": "15s"}
"""Grafana's own variable, for a data source whose scrape interval is left at 15 s."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a dashboard and whether it is asked over the shown time, or as of its end."""

    where: str
    expression: str
    over_time: bool
    scraped: str = "15s"
    """The query's own "min step", or else what the data source says."""

    def filled_in(self, values: Mapping[str, str]) -> str:
        """The query with values in place of variables; one that nobody knows is left, and does not parse."""
        known = {"__rate_interval": f"{4 * _seconds(self.scraped):g}s", **values}
        return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: known.get(found[1] or found[2], found[0]), self.expression)


def questions(model: Mapping[str, Any]) -> Iterator[Question]:
    """Every query of the dashboard: of its panels, its variables and its marks."""
    for panel in model["panels"]:
        for target in panel.get("targets", ()):
            where, scraped = f"{panel['title']} {target['refId']}", target.get("interval", "15s")
            yield Question(where, target["expr"], target["range"], scraped)
    for variable in model["templating"]["list"]:
        asked = re.fullmatch(r"label_values\((.+), \w+\)|query_result\((.+)\)", variable["query"])
        if asked is not None:
            yield Question(f"${variable['name']}", asked[1] or asked[2], over_time=False)
    for mark in model["annotations"]["list"]:
        yield Question(f"annotation {mark['name']}", mark["expr"], over_time=True)


def choices(model: Mapping[str, Any]) -> dict[str, str]:
    """What a reader starts with: everything of what there can be more, the shortest of the durations."""
    chosen = {}
    for variable in model["templating"]["list"]:
        if variable.get("includeAll"):
            chosen[variable["name"]] = variable["allValue"]
        elif variable["type"] == "custom":
            chosen[variable["name"]] = min(variable["query"].split(","), key=_seconds)
    return chosen


def _seconds(duration: str) -> float:
    sizes = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(int(count) * sizes[unit] for count, unit in re.findall(r"(\d+)(ms|[wdhms])", duration))


@dataclass(frozen=True, slots=True)
class Shown:
    """A real Prometheus and the time that a dashboard shows of it; `moment` is one inside, when things were bad."""

    url: str
    start: float
    moment: float
    end: float

    def ask(self, question: Question, values: Mapping[str, str]) -> list[dict[str, Any]]:
        """The series that it answers with; as of the end, or else as of the moment, for what is asked once."""
        values = {**BUILT_IN, "__range": f"{int(self.end - self.start)}s", **values}
        query = question.filled_in(values)
        if question.over_time:
            return self.over_time(query)
        return self.once(query, self.end) or self.once(query, self.moment)

    def once(self, query: str, at: float) -> list[dict[str, Any]]:
        """An instant query."""
        return self._get("query", query=query, time=str(at))

    def over_time(self, query: str) -> list[dict[str, Any]]:
        """A range query over the shown time."""
        return self._get("query_range", query=query, start=str(self.start), end=str(self.end), step="1")

    def _get(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - always http on loopback
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return result
