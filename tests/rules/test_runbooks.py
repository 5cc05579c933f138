"""A runbook page helps at night: one service's queries, its dashboards, what to type next."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from deploywatch.cli import cli
from deploywatch.rules.outputs import runbooks
from deploywatch.rules.resolve import resolve
from tests.rules.tools import SHIPPED, shipped

NAMES = [path.stem for path in SHIPPED]


def _pages(name: str) -> list[str]:
    policy = resolve(shipped(name))
    return [runbooks.page(policy.given, alert) for alert in policy.alerts]


def _queries(page: str) -> list[str]:
    return re.findall(r"```promql\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_no_query_adds_up_several_services(name: str) -> None:
    several = [one.pattern for one in shipped(name).selectors.values() if len(one.values) != 1]
    for page in _pages(name):
        assert not [query for query in _queries(page) for pattern in several if f'=~"{pattern}"' in query]


def test_who_is_paged_is_told_to_put_the_alerts_service_in_place() -> None:
    page = _pages("insurance-lead-gen")[0]
    assert "The queries and commands are about `api` in `production`: put the service" in page
    assert "put the service" not in _pages("virtual-queue")[0]


def test_failing_requests_are_broken_down_by_instance_version_and_endpoint() -> None:
    (page,) = [page for page in _pages("insurance-lead-gen") if page.startswith("# HighErrorRate")]
    for label in ("instance", "version", "endpoint"):
        assert any(f"sum by ({label})" in query for query in _queries(page))


def test_a_page_links_to_the_dashboards_of_the_service() -> None:
    page = _pages("insurance-lead-gen")[0]
    root = "https://monitoring.insurance-lead-gen.example.com/d"
    assert f"({root}/deploywatch-insurance-lead-gen?var-service=api&var-environment=production)" in page
    assert f"({root}/dw-insurance-lead-gen-deploys?var-service=api&var-environment=production)" in page


def test_what_it_says_to_type_are_commands_of_ours() -> None:
    (session,) = re.findall(r"```console\n(.*?)```", _pages("demo")[0], re.DOTALL)
    for line in session.splitlines():
        program, group, command, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "deploywatch"
        part = cli.get_command(click.Context(cli), group)
        assert isinstance(part, click.Group)
        found = part.get_command(click.Context(part), command)
        assert found is not None
        known = {option for parameter in found.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known
