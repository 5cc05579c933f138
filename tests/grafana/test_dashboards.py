"""Dashboards are what Grafana reads, show the rules' own numbers, and ask only what can be asked."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
from ruamel.yaml import YAML

import grafana
from deploywatch.conventions import DeploymentMetric, IncidentMetric
from grafana.__main__ import files
from grafana.dashboards import dashboard
from rules import recording
from rules.links import dashboard_uid
from tests.rules.tools import SHIPPED, good, shipped

FOLDER = Path(grafana.__path__[0])
SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text())
NAMES = [path.stem for path in SHIPPED]


def _shown(name: str) -> dict[str, Any]:
    return dashboard(shipped(name))


def _expressions(found: dict[str, Any]) -> list[str]:
    panels = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    asked = [re.match(r"label_values\((.+), \w+\)", one["query"]) for one in found["templating"]["list"]]
    variables = [match[1] for match in asked if match is not None]
    return [*panels, *variables, *(one["expr"] for one in found["annotations"]["list"])]


def _panel(found: dict[str, Any], title: str) -> dict[str, Any]:
    (panel,) = (panel for panel in found["panels"] if panel["title"] == title)
    return dict(panel)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_fits_the_schema(name: str) -> None:
    jsonschema.validate(_shown(name), SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("uid"),
        lambda found: found.update(uid="x" * 41),
        lambda found: found["panels"][0].pop("description"),
        lambda found: found["panels"][0].update(type="graph"),
        lambda found: found["panels"][0]["datasource"].update(uid="a-fixed-one"),
        lambda found: found["panels"][0]["gridPos"].update(w=25),
        lambda found: found["panels"][-1]["fieldConfig"]["defaults"].update(unit="percent"),
        lambda found: found["panels"][2]["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(value=0),
        lambda found: found["templating"]["list"].clear(),
        lambda found: found.update(rows=[]),
    ],
)
def test_the_schema_refuses_what_grafana_would_misread(spoil: Any) -> None:
    found = _shown("demo")
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_is_promql(name: str) -> None:
    for expression in _expressions(_shown(name)):
        promql_parser.parse(expression)


@pytest.mark.parametrize("name", NAMES)
def test_every_series_is_recorded_by_the_policy_or_exposed_by_the_receiver(name: str) -> None:
    known = {record.name for record in recording.records(shipped(name))} | {
        DeploymentMetric.STARTED,
        IncidentMetric.OPEN,
    }
    for expression in _expressions(_shown(name)):
        found = re.search(r"([a-z_][\w:]*)\{", expression)
        assert found is not None
        assert found[1] in known


def test_the_demos_dashboard_shows_what_a_newcomer_looks_for() -> None:
    titles = [panel["title"] for panel in _shown("demo")["panels"]]
    assert titles[:2] == ["Open incidents", "Probes"]
    assert {"Error ratio", "P95 latency", "Service up", "Queue length"} <= set(titles)


def test_the_line_across_the_error_ratio_is_the_rules_own_number() -> None:
    panel = _panel(_shown("demo"), "Error ratio")
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] == "percentunit"
    assert defaults["custom"]["thresholdsStyle"]["mode"] == "line"
    assert defaults["thresholds"]["steps"] == [{"value": None, "color": "green"}, {"value": 0.01, "color": "red"}]


def test_two_limits_of_a_signal_are_two_lines_in_the_colors_of_their_severities() -> None:
    steps = _panel(_shown("insurance-lead-gen"), "Error ratio")["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "green"), (0.005, "yellow"), (0.01, "red")]


def test_a_limit_from_below_colors_what_is_under_it(tmp_path: Path) -> None:
    found = dashboard(good(tmp_path, when="availability < 99%"))
    steps = _panel(found, "Availability")["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "red"), (0.99, "green")]


def test_latency_is_shown_in_seconds_with_its_limit_in_seconds() -> None:
    defaults = _panel(_shown("demo"), "P95 latency")["fieldConfig"]["defaults"]
    assert defaults["unit"] == "s"
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 2.0]


def test_deployments_are_marked_when_they_started() -> None:
    (mark,) = _shown("demo")["annotations"]["list"]
    assert mark["expr"].startswith(DeploymentMetric.STARTED)
    assert mark["expr"].endswith("* 1000")
    assert mark["useValueForTime"] is True


@pytest.mark.parametrize("name", NAMES)
def test_panels_do_not_overlap_and_are_numbered_once(name: str) -> None:
    panels = _shown(name)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


@pytest.mark.parametrize("name", NAMES)
def test_the_uid_is_the_one_that_alerts_link_to(name: str) -> None:
    assert _shown(name)["uid"] == dashboard_uid(shipped(name))


def test_the_committed_dashboards_are_what_the_policies_give() -> None:
    committed = {f"dashboards/{path.name}": path.read_text() for path in (FOLDER / "dashboards").glob("*.json")}
    assert committed == files(), "build them again: python -m grafana"


@pytest.mark.parametrize("path", sorted((FOLDER / "provisioning").rglob("*.yml")), ids=lambda path: path.parent.name)
def test_a_provisioning_file_says_its_version_and_its_one_thing(path: Path) -> None:
    found = YAML(typ="safe").load(path)
    assert found["apiVersion"] == 1
    (one,) = found["providers" if path.parent.name == "dashboards" else "datasources"]
    assert one["name"] == "deploywatch"
    assert one["type"] == ("file" if path.parent.name == "dashboards" else "prometheus")
