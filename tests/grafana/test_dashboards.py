"""Dashboards show the rules' own numbers, compare with before a deployment, and are committed as they are built."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploywatch import grafana
from deploywatch.grafana import signals
from deploywatch.grafana.__main__ import files, write_shared
from deploywatch.grafana.dashboards import of_policy
from deploywatch.rules.links import dashboard_uid
from deploywatch.rules.resolve import resolve
from deploywatch.rules.series.requests import Requests
from deploywatch.rules.signals import business
from deploywatch.rules.signals.signal import Group
from tests.grafana.asking import questions
from tests.grafana.models import MODELS, POLICIES, panel, panels
from tests.rules.tools import good

FOLDER = Path(grafana.__path__[0])


def _steps(model: dict[str, object], title: str) -> list[tuple[float | None, str]]:
    steps = panel(model, title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(step["value"], step["color"]) for step in steps]


def test_the_line_across_the_error_ratio_is_the_rules_own_number() -> None:
    found = panel(MODELS["demo"], "Error ratio")["fieldConfig"]["defaults"]
    assert found["unit"] == "percentunit"
    assert found["custom"]["thresholdsStyle"]["mode"] == "line"
    assert _steps(MODELS["demo"], "Error ratio") == [(None, "green"), (0.01, "red")]


def test_two_limits_of_a_signal_are_two_lines_in_the_colors_of_their_severities(tmp_path: Path) -> None:
    model = of_policy(resolve(good(tmp_path, when="error_ratio > 1% or error_ratio > 2%")))["mine"].model()
    assert _steps(model, "Error ratio") == [(None, "green"), (0.01, "red"), (0.02, "red")]
    assert [color for _, color in _steps(MODELS["judging"], "Error ratio")] == ["green", "yellow", "red"]


def test_a_limit_from_below_colors_what_is_under_it(tmp_path: Path) -> None:
    model = of_policy(resolve(good(tmp_path, when="availability < 99%")))["mine"].model()
    assert _steps(model, "Availability") == [(None, "red"), (0.99, "green")]


def test_latency_is_shown_in_seconds_with_its_limit_in_seconds() -> None:
    assert panel(MODELS["demo"], "P95 latency")["fieldConfig"]["defaults"]["unit"] == "s"
    assert [value for value, _ in _steps(MODELS["demo"], "P95 latency")] == [None, 2.0]


def test_a_description_says_which_alerts_the_lines_belong_to() -> None:
    link = "[HighErrorRate](https://runbooks.example.com/demo.HighErrorRate.md)"
    assert f"Alerts: {link} at > 1%." in panel(MODELS["demo"], "Error ratio")["description"]


@pytest.mark.parametrize("key", MODELS)
def test_a_line_of_a_service_says_its_environment_too(key: str) -> None:
    """With two environments chosen, two lines would bear one name."""
    for shown in panels(MODELS[key]):
        for target in shown["targets"]:
            if "{{service}}" in target["legendFormat"]:
                assert "{{environment}}" in target["legendFormat"], shown["title"]


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.given.series.find(Requests)])
def test_the_service_is_broken_down_by_status_endpoint_and_version(name: str) -> None:
    for title, label in (
        ("Requests by status", "status"),
        ("Failing by endpoint", "endpoint"),
        ("Failing by version", "version"),
    ):
        (target,) = panel(MODELS[name], title)["targets"]
        assert target["legendFormat"] == f"{{{{service}}}} {{{{environment}}}} {{{{{label}}}}}"


@pytest.mark.parametrize("name", POLICIES)
def test_every_signal_of_a_policy_is_shown_and_compared_with_before_a_deployment(name: str) -> None:
    for signal in signals.measured(POLICIES[name]):
        title = signal.title[0].upper() + signal.title[1:]
        panel(MODELS[name], title)
        before, since = panel(MODELS[f"{name}.deployment"], f"{title}: before and since")["targets"]
        assert before["expr"].endswith("[$span] @ $deployment)")
        assert since["expr"].endswith("[$span] @ end())")


@pytest.mark.parametrize("name", POLICIES)
def test_every_recorded_series_that_is_shown_is_recorded_by_the_policy(name: str) -> None:
    known = {record.name for record in POLICIES[name].records}
    for key in (key for key in MODELS if key.split(".")[0] == name):
        for question in questions(MODELS[key]):
            assert set(re.findall(r"\bservice_environment\w*:[\w:]+", question.expression)) <= known


def test_a_limit_that_steps_is_drawn_from_the_series_that_the_alert_reads() -> None:
    value, limit = panel(MODELS["judging"], "Error ratio")["targets"]
    assert limit["expr"].startswith('service_environment:policy_threshold:error_ratio{policy="judging"')
    assert limit["expr"].endswith('alert="Errors"}')
    override = panel(MODELS["judging"], "Error ratio")["fieldConfig"]["overrides"][0]
    assert override["matcher"]["options"] == limit["refId"] != value["refId"]
    assert {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}} in override["properties"]


def test_a_limit_that_steps_is_no_line_that_stays_and_those_of_the_health_score_are() -> None:
    assert _steps(MODELS["judging"], "Error ratio") == [(None, "green"), (0.02, "yellow"), (0.05, "red")]


def test_a_function_of_a_signal_is_shown_beside_the_signal_itself() -> None:
    titles = [panel["title"] for panel in panels(MODELS["judging"])]
    assert {"P95 latency", "Rise of p95 latency", "Throughput", "Z-score of throughput"} <= set(titles)


def test_the_business_sees_conversion_what_it_lost_and_the_impact() -> None:
    titles = [panel["title"] for panel in panels(MODELS["judging.business"])]
    assert {"Conversion ratio", "Drop of conversion ratio", "Revenue", "Impact on the business, of 10"} <= set(titles)


def test_every_signal_of_the_business_is_known_as_such() -> None:
    modules = [vars(business)[one.name] for one in pkgutil.iter_modules(business.__path__)]
    assert {module.SIGNAL.name for module in modules} <= set(signals.BUSINESS)


def test_what_the_rules_judge_is_shown() -> None:
    shown = {
        name
        for key in ("judging", "judging.deployment")
        for question in questions(MODELS[key])
        for name in re.findall(r"service_environment\w*:[\w:]+", question.expression)
    }
    judged = {one.name for one in POLICIES["judging"].records if one.group in {Group.HEALTH, Group.DELIVERY}}
    # What these are made of, and the number of those that are shown one by one.
    assert judged - shown == {
        "signal:policy_health_weight:constant",
        "service_environment:anomaly:count",
        "service_environment:deployment_started_timestamp_seconds:max",
        "service_environment:incidents_open:sum",
        "service_environment:incidents_opened:new",
    }


def test_a_deployment_is_chosen_by_name_and_taken_by_when_it_started() -> None:
    (chosen,) = (part for part in MODELS["demo.deployment"]["templating"]["list"] if part["name"] == "deployment")
    # Grafana's regex is JavaScript's, whose named groups lack Python's P.
    pattern = chosen["regex"].strip("/").replace("(?<", "(?P<")
    match = re.search(pattern, '{deployment="shop 1.2.3"} 1763679306.123 1763679400000')
    assert match is not None
    assert (match["text"], match["value"]) == ("shop 1.2.3", "1763679306.123")


def test_what_is_compared_with_is_dashed() -> None:
    (override,) = panel(MODELS["demo.deployment"], "Error ratio")["fieldConfig"]["overrides"]
    assert override["matcher"]["options"] == "B"
    assert {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}} in override["properties"]


def test_a_policy_without_a_signal_of_the_business_has_no_dashboard_of_it(tmp_path: Path) -> None:
    assert set(of_policy(resolve(good(tmp_path, when="error_ratio > 1%")))) == {"mine", "mine.deployment"}


def test_a_policy_of_the_longest_name_has_uids_that_grafana_takes(tmp_path: Path) -> None:
    longest = good(tmp_path, when="throughput < 1/s").model_copy(update={"policy": "x" * 27})
    found = of_policy(resolve(longest))
    assert len(found) == 3
    assert max(len(dashboard.uid) for dashboard in found.values()) <= 40


@pytest.mark.parametrize("name", POLICIES)
def test_the_uid_is_the_one_that_alerts_link_to(name: str) -> None:
    assert MODELS[name]["uid"] == dashboard_uid(POLICIES[name].given)


def test_a_demos_reader_looks_at_minutes_and_a_companys_at_hours() -> None:
    assert MODELS["demo"]["time"]["from"] == "now-15m"
    assert MODELS["insurance-lead-gen"]["time"]["from"] == "now-450m"
    assert MODELS["demo"]["refresh"] == "10s"


def test_the_overview_begins_with_what_a_newcomer_looks_for() -> None:
    titles = [panel["title"] for panel in panels(MODELS["all.overview"])]
    assert titles[:4] == ["Services watched", "Probes failing", "Alerts firing", "Incidents open"]


def test_the_committed_dashboards_are_what_the_policies_give() -> None:
    committed = {f"dashboards/{path.name}": path.read_text() for path in (FOLDER / "dashboards").glob("*.json")}
    assert committed == files(), "build them again: python -m deploywatch.grafana"


def test_the_shared_dashboards_are_put_beside_those_of_a_build(tmp_path: Path) -> None:
    write_shared(tmp_path / "dashboards")
    written = {f"dashboards/{path.name}": path.read_text() for path in (tmp_path / "dashboards").iterdir()}
    assert written == {name: text for name, text in files().items() if name.startswith("dashboards/all.")}


@pytest.mark.parametrize("path", sorted((FOLDER / "provisioning").rglob("*.yml")), ids=lambda path: path.parent.name)
def test_a_provisioning_file_says_its_version_and_its_one_thing(path: Path) -> None:
    loaded = YAML(typ="safe").load(path)
    assert loaded["apiVersion"] == 1
    (one,) = loaded["providers" if path.parent.name == "dashboards" else "datasources"]
    assert one["name"] == "deploywatch"
    assert one["type"] == ("file" if path.parent.name == "dashboards" else "prometheus")
