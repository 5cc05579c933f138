"""Every dashboard is what Grafana reads, and keeps the rules of Grafana's dashboard-linter, as far as they fit.

The linter's own names are in the tests' docstrings. Its rules about `job` and `instance` (`template-job-rule`,
`template-instance-rule`, `target-job-rule`, `target-instance-rule`) do not fit: what is shown is told apart by service
and environment, whatever scrapes it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest

from tests.grafana.asking import BUILT_IN, Question, choices, questions
from tests.grafana.models import MODELS, panels

SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text())
NAMES = sorted(MODELS)
SAMPLE = {**BUILT_IN, "__range": "3600s", "deployment": "1763679306.123"}

each_dashboard = pytest.mark.parametrize("name", NAMES)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@each_dashboard
def test_a_dashboard_fits_the_schema(name: str) -> None:
    jsonschema.validate(MODELS[name], SCHEMA, jsonschema.Draft202012Validator)


def _first(model: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(panel for panel in model["panels"] if panel["type"] == kind)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.pop("uid"),
        lambda found: found.update(uid="x" * 41),
        lambda found: found.update(editable=True),
        lambda found: found.update(rows=[]),
        lambda found: found["templating"]["list"].clear(),
        lambda found: found["templating"]["list"][1].update(query="service"),
        lambda found: _first(found, "row").update(collapsed=True),
        lambda found: _first(found, "stat").pop("description"),
        lambda found: _first(found, "stat").update(type="singlestat"),
        lambda found: _first(found, "stat")["datasource"].update(uid="a-fixed-one"),
        lambda found: _first(found, "stat")["gridPos"].update(w=25),
        lambda found: _first(found, "stat")["fieldConfig"]["defaults"].pop("unit"),
        lambda found: _first(found, "timeseries")["fieldConfig"]["defaults"].update(unit="percent"),
        lambda found: _first(found, "timeseries")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].update(value=0),
        lambda found: _first(found, "timeseries")["targets"][0].update(instant=True),
        lambda found: _first(found, "table")["targets"][0].update(format="time_series"),
    ],
)
def test_the_schema_refuses_what_grafana_would_misread(spoil: Callable[[dict[str, Any]], Any]) -> None:
    found = copy.deepcopy(MODELS["all.overview"])
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)


@each_dashboard
def test_every_query_is_promql(name: str) -> None:
    """target-promql-rule, and no variable that the dashboard lacks."""
    for question in questions(MODELS[name]):
        filled = question.filled_in(choices(MODELS[name]) | SAMPLE)
        assert not re.search(r"\$\D", filled), question.where  # `$1` is label_replace's own
        promql_parser.parse(filled)


@each_dashboard
def test_a_rate_is_taken_over_grafanas_own_window_or_one_that_is_chosen(name: str) -> None:
    """target-rate-interval-rule: never a fixed window, which a longer scrape interval would leave empty."""
    for question in questions(MODELS[name]):
        for window in re.findall(r"rate\([^\[]*\[([^\]]*)\]", question.expression):
            assert window == "$__rate_interval", question.where
        for window in re.findall(r"increase\([^\[]*\[([^\]]*)\]", question.expression):
            assert window in {"$__rate_interval", "$span"}, question.where


@each_dashboard
def test_counters_are_rated_before_they_are_summed(name: str) -> None:
    """target-counter-agg-rule; what counts since the store began, and not since a process did, is shown as it is."""
    for question in questions(MODELS[name]):
        for found in re.finditer(r"(\w+\()?(\w+_total)\b", question.expression):
            if found[2] != "deploywatch_incidents_total" and "{__name__" not in question.expression:
                assert found[1] in {"rate(", "increase("}, question.where


@each_dashboard
def test_the_data_source_is_chosen_by_the_reader(name: str) -> None:
    """template-datasource-rule, panel-datasource-rule."""
    variables = MODELS[name]["templating"]["list"]
    assert (variables[0]["type"], variables[0]["name"], variables[0]["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for panel in panels(MODELS[name]):
        assert {one["datasource"]["uid"] for one in (panel, *panel["targets"])} == {"${datasource}"}


@each_dashboard
def test_service_and_environment_can_be_chosen(name: str) -> None:
    chosen = {part["name"]: part for part in MODELS[name]["templating"]["list"]}
    for label in ("service", "environment"):
        assert chosen[label]["multi"]
        assert chosen[label]["includeAll"]
        assert chosen[label]["query"].endswith(f", {label})")


@each_dashboard
def test_choices_follow_the_shown_time(name: str) -> None:
    """template-on-time-change-reload-rule."""
    asked = [part for part in MODELS[name]["templating"]["list"] if part["type"] == "query"]
    assert {request["refresh"] for request in asked} == {2}


@each_dashboard
def test_a_panel_has_a_title_that_is_its_own_a_description_and_a_unit(name: str) -> None:
    """panel-title-description-rule, panel-units-rule."""
    titles = [panel["title"] for panel in panels(MODELS[name])]
    assert len(titles) == len(set(titles))
    for panel in panels(MODELS[name]):
        assert re.search(r"\w.*\.$", panel["description"], re.DOTALL), panel["title"]
        assert panel["title"][0].isupper() or panel["title"][0].isdigit()
        assert panel["fieldConfig"]["defaults"]["unit"]


@each_dashboard
def test_a_line_has_a_legend(name: str) -> None:
    """No empty legends; a table's columns are its own."""
    for panel in panels(MODELS[name]):
        for target in panel["targets"]:
            assert target["legendFormat"].strip() or target["format"] == "table", panel["title"]


@each_dashboard
def test_a_panel_without_a_query_or_with_two_of_one_letter_is_not_there(name: str) -> None:
    """panel-no-targets-rule."""
    for panel in panels(MODELS[name]):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)) != []


@each_dashboard
def test_panels_do_not_overlap_and_are_numbered_once(name: str) -> None:
    found = MODELS[name]["panels"]
    assert [panel["id"] for panel in found] == list(range(1, len(found) + 1))
    for one, other in combinations([panel["gridPos"] for panel in found], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


@each_dashboard
def test_nobody_edits_what_is_generated(name: str) -> None:
    """uneditable-dashboard."""
    assert MODELS[name]["editable"] is False


@each_dashboard
def test_deployments_and_incidents_are_marked(name: str) -> None:
    deployments, incidents = MODELS[name]["annotations"]["list"]
    assert deployments["expr"].startswith("deployment_started_timestamp_seconds{")
    assert deployments["expr"].endswith("* 1000")
    assert deployments["useValueForTime"] is True
    assert "deploywatch_incidents_open{" in incidents["expr"]


def test_no_two_dashboards_share_a_uid_or_a_title() -> None:
    for key in ("uid", "title"):
        found = [model[key] for model in MODELS.values()]
        assert len(found) == len(set(found))


@each_dashboard
def test_a_legend_names_all_that_tells_its_lines_apart(name: str) -> None:
    """What a query groups by stands in the legend: two lines of one name are nobody's."""
    for panel in panels(MODELS[name]):
        for target in panel["targets"]:
            if target["format"] != "table":
                filled = Question("", target["expr"], target["range"], target.get("interval", "15s")).filled_in(
                    choices(MODELS[name]) | SAMPLE
                )
                grouped = _grouped(promql_parser.parse(filled))
                assert grouped <= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])), panel["title"]


def _grouped(expression: Any) -> set[str]:
    """The labels that an expression's lines bear, as far as it says; of two sides those of the left one."""
    match expression:
        case promql_parser.AggregateExpr():
            if str(expression.op) in {"topk", "bottomk"}:
                return _grouped(expression.expr)
            modifier = expression.modifier
            return set() if modifier is None or "By" not in str(modifier.type) else set(modifier.labels) - {"le"}
        case promql_parser.BinaryExpr():
            return _grouped(expression.lhs)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _grouped(expression.expr)
        case promql_parser.Call():
            return set().union(*(_grouped(one) for one in expression.args))
    return set()


def test_what_a_query_groups_by_is_read() -> None:
    parse = promql_parser.parse
    assert _grouped(parse("topk(3, sum by (a, b) (rate(x[5m])) / on (a) y > 0)")) == {"a", "b"}
    assert _grouped(parse("histogram_quantile(0.95, sum by (a, le) (x))")) == {"a"}
    assert _grouped(parse("sum(x)")) == set()
