"""What a dashboard asks Prometheus: queries, and the selectors that follow what its reader has chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import promql
from deploywatch.rules.promql import Matcher

SHOWN: tuple[Matcher, ...] = ((SERVICE, "=~", "$service"), (ENVIRONMENT, "=~", "$environment"))
"""The services and environments that the reader has chosen."""

WHERE = f"{SERVICE}, {ENVIRONMENT}"
"""What most panels show a line for."""

RATE = "$__rate_interval"
"""Grafana's own window for a rate: never less than four scrapes."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question of a panel, over the shown time; with `now` as of its end, with `table` so too, a row a series.

    `dashed` draws its lines in this color, dashed, for what the others are compared with. `scraped` is the time between
    two scrapes of what it asks for, as Prometheus writes durations, where that may be longer than the data source says:
    Grafana makes `$__rate_interval` four of it, and a window with one scrape in it has no rate.
    """

    expression: str
    legend: str = ""
    now: bool = False
    table: bool = False
    dashed: str = ""
    scraped: str = ""

    def target(self, letter: str) -> dict[str, Any]:
        """The query as Grafana's JSON model has it."""
        once = self.now or self.table
        return {
            "refId": letter,
            "datasource": datasource(),
            "expr": self.expression,
            "legendFormat": self.legend,
            "format": "table" if self.table else "time_series",
            "instant": once,
            "range": not once,
        } | ({"interval": self.scraped} if self.scraped else {})


def datasource() -> dict[str, str]:
    """The data source that the dashboard's reader chose."""
    return {"type": "prometheus", "uid": "${datasource}"}


def shown(metric: str, *matchers: Matcher) -> str:
    """The metric's series of what the reader has chosen."""
    return promql.selector(metric, [*SHOWN, *matchers])


def once(metric: str, by: str, *matchers: Matcher) -> str:
    """What each replica of the receiver says of the store that all share, counted once; `by` are all its labels."""
    return f"max by ({by}) ({shown(metric, *matchers)})"


def legend(labels: Iterable[str]) -> str:
    """A legend of these labels' values."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)
