"""What a policy's rules make of the signals: health, impact on the business, anomalies, figures of delivery."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.grafana.panels import Panel
from deploywatch.grafana.queries import SHOWN, Query, legend
from deploywatch.grafana.visualizations import BAD, GOOD, UNITS, WARNING, Lines, Look, Number, States
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.resolved import ResolvedPolicy

_RATIO, _SECONDS, _COUNT = UNITS[Unit.RATIO], UNITS[Unit.SECONDS], UNITS[Unit.COUNT]
_WHERE = (SERVICE, ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Judged:
    """How a recorded series is shown: its panel's title, its labels beside service and environment, its look."""

    title: str
    look: Look
    labels: tuple[str, ...] = ()
    width: int = 8
    height: int = 8


# By what comes after the level in the recorded series' name; `*` stands for a duration.
HEALTH: Mapping[str, Judged] = {
    "health:score": Judged("Health score", Lines(_RATIO)),
    "health:coverage_ratio": Judged("Coverage of the health score", Lines(_RATIO)),
    "health:status": Judged("Health status", States({0: ("", "transparent"), 1: ("so", "blue")}), ("status",)),
    "health_status:score": Judged(
        "Health by signal",
        States({0: ("critical", BAD), 0.5: ("warning", WARNING), 1: ("healthy", GOOD)}),
        ("signal",),
        width=12,
    ),
    "anomaly:degree": Judged(
        "Anomalies", States({0: ("none", GOOD), 1: ("medium", WARNING), 2: ("high", BAD)}), ("anomaly",), width=12
    ),
}
IMPACT: Mapping[str, Judged] = {
    "business_impact:score": Judged(
        "Impact on the business, of 10", Number("none", ((3, WARNING), (6, BAD)), names=True)
    ),
}
DELIVERY: Mapping[str, Judged] = {
    "deployments:changes*": Judged("Deployments", Number(_COUNT, decimals=0, base="text", names=True)),
    "deployments:success_ratio": Judged("Deployments that succeeded", Number(_RATIO, base="text", names=True)),
    "deployments:rollback_ratio": Judged(
        "Deployments that were rolled back", Number(_RATIO, ((0.15, BAD),), names=True)
    ),
    "deployment_duration_seconds:avg": Judged("Time a deployment takes", Number(_SECONDS, base="text", names=True)),
    "recovery_seconds:mean*": Judged("Time to recover", Number(_SECONDS, base="text", names=True)),
}


def panels(policy: ResolvedPolicy, judged: Mapping[str, Judged]) -> tuple[Panel, ...]:
    """A panel for each of these that the policy records."""
    return tuple(_panels(policy, judged))


def _panels(policy: ResolvedPolicy, judged: Mapping[str, Judged]) -> Iterator[Panel]:
    records = {record.name: record.about for record in policy.records}
    for ending, view in judged.items():
        pattern = rf"{promql.level()}\w*:{ending.replace('*', '[0-9a-z]+')}"
        for name, about in records.items():
            if re.fullmatch(pattern, name):
                query = Query(promql.recorded(policy.given, name, SHOWN), legend((*_WHERE, *view.labels)))
                yield Panel(view.title, _sentence(view, about), (query,), view.look, view.width, view.height)


def _sentence(view: Judged, about: str) -> str:
    """The rule's own words; of a rule that is there once for each of several labels, none holds for all."""
    if view.labels:
        return f"{view.title}, by {', '.join(view.labels)}, as the policy's rules record it."
    return f"{about[:1].upper()}{about[1:]}."
