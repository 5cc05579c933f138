"""A runbook page helps at night: one service's queries, its dashboards, what to type next."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from deploywatch.cli import cli
from deploywatch.rules.builtin_policies import GENERATED
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedAlert
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Requests
from tests.rules.tools import SHIPPED, shipped

NAMES = [path.stem for path in SHIPPED]
DASHBOARDS = Path(__file__).parents[2] / "grafana" / "dashboards"


def _pages(name: str) -> dict[str, str]:
    """Each page of a shipped policy as it is built (`test_build` holds that), by its alert."""
    return {path.stem.split(".")[1]: path.read_text() for path in (GENERATED / name / "runbooks").glob(f"{name}.*.md")}


def _queries(page: str) -> list[str]:
    return re.findall(r"```promql\n(.*?)```", page, re.DOTALL)


def _commands(page: str) -> list[str]:
    (session,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return [line.removeprefix("$ ") for line in session.splitlines()]


def _alerts(name: str) -> dict[str, ResolvedAlert]:
    return {alert.given.alert: alert for alert in resolve(shipped(name)).alerts}


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_that_is_built_has_its_page(name: str) -> None:
    rules = YAML(typ="safe").load((GENERATED / name / "rules" / f"{name}.alerts.yml").read_text())
    assert set(_pages(name)) == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", NAMES)
def test_no_query_adds_up_several_services_and_none_is_there_twice(name: str) -> None:
    several = [one.pattern for one in shipped(name).selectors.values() if len(one.values) != 1]
    for alert, page in _pages(name).items():
        queries = _queries(page)
        assert not [query for query in queries for pattern in several if f'=~"{pattern}"' in query]
        assert len(set(queries)) == len(queries) >= 1, alert


def test_who_is_paged_is_told_to_put_the_alerts_service_in_place() -> None:
    for page in _pages("insurance-lead-gen").values():
        assert "The queries and commands are about `api` in `production`: put the service" in page
    for page in _pages("virtual-queue").values():
        assert "put the service" not in page


@pytest.mark.parametrize("name", NAMES)
def test_what_is_about_requests_is_broken_down_by_instance_version_and_endpoint(name: str) -> None:
    """Each in what the alert is about: errors by the share that fails, latency by its quantile."""
    for alert, page in _pages(name).items():
        if alert not in (alerts := _alerts(name)) or alerts[alert].given.incident_type == "monitoring_failure":
            continue
        needs = {need for term in alerts[alert].terms for need in term.signal.needs}
        for label in ("instance", "version", "endpoint"):
            by = [query for query in _queries(page) if re.search(rf"by \((le, )?{label}\)", query)]
            assert not needs & {Requests, Durations} or any("status" in query for query in by), (alert, label)
            assert Durations not in needs or any("duration" in query for query in by), (alert, label)


@pytest.mark.parametrize("name", NAMES)
def test_page_and_dashboard_link_to_each_other(name: str) -> None:
    links = shipped(name).links
    boards = [path.read_text() for path in DASHBOARDS.glob(f"{name}.*json")]
    uids = {json.loads(board)["uid"] for board in boards}
    for alert, page in _pages(name).items():
        linked = re.findall(rf"{re.escape(links.grafana or '-')}/d/([\w-]+)\?var-service=[\w-]+&var-environment=", page)
        assert len(linked) == (2 if links.grafana else 0), alert
        assert set(linked) <= uids
        assert links.runbooks is None or any(f"{links.runbooks}/{name}.{alert}.md" in board for board in boards), alert


@pytest.mark.parametrize("name", NAMES)
def test_a_rollback_is_offered_where_another_version_can_help_and_nowhere_else(name: str) -> None:
    alerts = _alerts(name)
    for alert, page in _pages(name).items():
        offered = any("incidents rollback" in line for line in _commands(page))
        kind = alerts[alert].given.incident_type if alert in alerts else "monitoring_failure"
        assert offered is (kind not in {"dependency_failure", "monitoring_failure"}), alert
        assert not alerts.get(alert) or offered or alerts[alert].given.action != "rollback"


def test_who_looks_for_a_dependency_or_a_lost_series_is_told_where() -> None:
    pages = _pages("enterprise")
    assert any("--service DEPENDS_ON" in line for line in _commands(pages["DependencyDown"]))
    assert any("probe_success" in query for query in _queries(pages["DependencyDown"]))
    for alert in ("MetricsMissing", "DependencyUnknown", "BucketMissing"):
        assert "deploywatch rules check enterprise.yml --prometheus URL" in _commands(pages[alert])
    assert 'up{service="user-service",environment="production"}\n' in _queries(pages["MetricsMissing"])


@pytest.mark.parametrize("name", NAMES)
def test_somebody_who_is_woken_has_a_step_of_their_own(name: str) -> None:
    for alert, page in _pages(name).items():
        steps = re.findall(r"^\d+\. (.*)$", page.split("## Mitigation")[1].split("## Source")[0], re.MULTILINE)
        assert [step for step in steps if not step.startswith(("deploywatch ", "Not acknowledged"))], alert


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_to_type_are_commands_of_ours(name: str) -> None:
    for line in {line for page in _pages(name).values() for line in _commands(page)}:
        program, group, command, *arguments = shlex.split(line)
        assert program == "deploywatch"
        part = cli.get_command(click.Context(cli), group)
        assert isinstance(part, click.Group)
        found = part.get_command(click.Context(part), command)
        assert found is not None
        found.make_parser(click.Context(found)).parse_args(arguments)
        known = {option for parameter in found.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known
