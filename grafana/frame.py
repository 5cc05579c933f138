"""What every dashboard has around its panels: identity, variables, marks of deployments and incidents, links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, DeploymentMetric, IncidentMetric
from deploywatch.grafana.panels import Row, placed
from deploywatch.grafana.queries import datasource, once, shown

# Of Grafana 10 and 11; newer ones migrate it when they load it.
SCHEMA = 39
"""The version of Grafana's dashboard model that this is written in: Grafana 11.0; later ones migrate it."""

TAG = "deploywatch"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `places` is a selector of series whose services and environments can be chosen."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    places: str
    more_variables: Sequence[dict[str, Any]] = ()
    span: timedelta = timedelta(hours=6)
    refresh: str = "1m"

    def model(self) -> dict[str, Any]:
        """The dashboard, as Grafana's JSON model has it."""
        return {
            "uid": self.uid,
            "title": f"deploywatch / {self.title}",
            "description": self.about,
            "tags": [TAG, "generated"],
            "schemaVersion": SCHEMA,
            # It is generated: what somebody changes by hand would be gone with the next run.
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "time": {"from": f"now-{self.span // timedelta(minutes=1)}m", "to": "now"},
            "timezone": "browser",
            "links": [_others()],
            "templating": {"list": [*_variables(self.places), *self.more_variables]},
            "annotations": {"list": [_deployments(), _incidents()]},
            "panels": placed(self.rows),
        }

    def text(self) -> str:
        """The dashboard's file."""
        return json.dumps(self.model(), indent=2, ensure_ascii=False) + "\n"


def choice(name: str, label: str, query: str, *, regex: str = "", sort: int = 1) -> dict[str, Any]:
    """A variable of one value out of those that a query finds."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": datasource(),
        "query": query,
        "definition": query,
        "regex": regex,
        # On every change of the time range: services come and go.
        "refresh": 2,
        "sort": sort,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def spans(name: str, label: str, values: Sequence[str]) -> dict[str, Any]:
    """A variable of one duration out of these; the first is chosen at the beginning."""
    options = [{"text": value, "value": value, "selected": value == values[0]} for value in values]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "options": options,
        "current": options[0],
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def _variables(places: str) -> list[dict[str, Any]]:
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "hide": 0}
    many = {"multi": True, "includeAll": True, "allValue": ".*"}
    return [
        source,
        *(
            choice(label, label.capitalize(), f"label_values({places}, {label})") | many
            for label in (SERVICE, ENVIRONMENT)
        ),
    ]


def _others() -> dict[str, Any]:
    """A menu of deploywatch's other dashboards, which open with the same choice and time."""
    return {
        "type": "dashboards",
        "title": "deploywatch",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _deployments() -> dict[str, Any]:
    return {
        "name": "Deployments",
        "datasource": datasource(),
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        # Grafana takes milliseconds; the value is when the deployment started, so that is where the mark stands.
        "expr": f"{shown(DeploymentMetric.STARTED)} * 1000",
        "useValueForTime": True,
        "step": "60s",
        "titleFormat": "{{service}} {{version}} in {{environment}}",
    }


def _incidents() -> dict[str, Any]:
    return {
        "name": "Incidents",
        "datasource": datasource(),
        "enable": True,
        "hide": False,
        "iconColor": "red",
        # As long as it is open: Grafana joins neighboring points to one region.
        "expr": f"{once(IncidentMetric.OPEN, f'{SERVICE}, {ENVIRONMENT}, severity')} > 0",
        "useValueForTime": False,
        "step": "60s",
        "titleFormat": "{{severity}} incident: {{service}} in {{environment}}",
    }
