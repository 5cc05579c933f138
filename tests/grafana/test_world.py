"""Dashboards over the world's raw series, two services in two environments after a deployment: lines and colors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploywatch.grafana.dashboards import of_policy
from deploywatch.rules.language.selectors import read_selector
from deploywatch.rules.resolve import resolve
from deploywatch.rules.resolved import ResolvedPolicy
from tests.grafana.asking import BUILT_IN, Question, choices
from tests.grafana.models import MODELS, POLICIES, panels
from tests.rules.tools import shipped
from tests.support.world.play import Nothing, Run, play
from tests.support.world.systems import System, service_places, system

MINUTE = 60
DEPLOYED = 25 * MINUTE
TWO_ENVIRONMENTS = "insurance-lead-gen"
OBJECTIVES = "objectives"


def _end(name: str) -> int:
    """When one looks; what is left of a budget is known from the second hour on."""
    return 75 * MINUTE if name == OBJECTIVES else 40 * MINUTE


def _policy(name: str) -> ResolvedPolicy:
    """The policy for two of its services, which are enough to mix them up."""
    if name == OBJECTIVES:
        return POLICIES[name]
    services = sorted({service for service, _ in system(name).places})[:2]
    policy = shipped(name)
    return resolve(policy.model_copy(update={"selectors": policy.selectors | {"service": read_selector(services)}}))


def _world(name: str) -> System:
    """The system of those two services, all well."""
    services = _policy(name).given.selectors["service"].values
    world = service_places(services, ("production", "staging")) if name == OBJECTIVES else system(name)
    world.places = {key: place for key, place in world.places.items() if key[0] in services}
    for place in world.places.values():
        place.timeline.deployed(DEPLOYED - 10 * MINUTE, "v1").deployed(DEPLOYED, "v2")
        if name == OBJECTIVES:
            place.timeline.at(DEPLOYED, canary_failing=place.timeline.usual.failing)
    return world


def _targets(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Of the policy's dashboards each panel and query, as Grafana would ask it."""
    for dashboard in of_policy(_policy(name)).values():
        model = dashboard.model()
        values = {
            **BUILT_IN,
            "__range": f"{_end(name)}s",
            **choices(model),
            "deployment": f"{DEPLOYED}",
            "earlier": "1m",
        }
        for panel in panels(model):
            for target in panel["targets"]:
                question = Question("", target["expr"], target["range"], target.get("interval", "15s"))
                yield panel, target, question.filled_in(values)


def _mixed_up(name: str) -> Iterator[str]:
    """Queries that answer where two lines bear one legend, or one lacks a part of its own."""
    for _, target, query in _targets(name):
        labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        if target["format"] != "table":
            yield f"count by ({', '.join(labels)}) ({query}) > 1"


def _red(name: str) -> Iterator[str]:
    """Queries that answer where something is red; a limit is drawn red by itself."""
    for panel, target, query in _targets(name):
        if any(one["matcher"]["options"] == target["refId"] for one in panel["fieldConfig"]["overrides"]):
            continue
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        for number, step in enumerate(steps):
            if step["color"] == "red":
                low = "" if step["value"] is None else f" >= {step['value']:.10f}"
                high = f" < {steps[number + 1]['value']:.10f}" if number + 1 < len(steps) else ""
                yield f"({query}){low}{high}"


def _silent(name: str) -> Iterator[str]:
    """Queries that answer where a panel about a budget or about a part of the series shows nothing."""
    for panel, _, query in _targets(name):
        if re.search(r"budget|burn|canary|stable|endpoint", panel["title"], re.IGNORECASE):
            yield f"absent({query})"


def _answers(name: str, queries: Iterator[str]) -> str:
    """What promtool has to say of queries that should answer nothing."""
    policy = _policy(name)
    every = int(policy.given.interval.total_seconds())
    tracks = _world(name).tracks(length=_end(name), step=every)
    asked = sorted(set(queries))
    assert asked
    return play(
        policy, [Run("all is well", tracks, every, [Nothing(_end(name), request) for request in asked])], every=every
    )


@pytest.mark.timeout(900)
def test_each_line_has_a_legend_of_its_own_and_nothing_that_is_well_is_red() -> None:
    name = TWO_ENVIRONMENTS
    assert _answers(name, iter([*_mixed_up(name), *_red(name)])) == ""


@pytest.mark.timeout(900)
def test_objectives_and_parts_have_legends_of_their_own_are_shown_and_none_is_red() -> None:
    silent = list(_silent(OBJECTIVES))
    assert len(silent) > 10
    assert _answers(OBJECTIVES, iter([*_mixed_up(OBJECTIVES), *_red(OBJECTIVES), *silent])) == ""


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted({"data-scientist-msl", "enterprise", "virtual-queue", "wix-platform"}))
def test_each_line_of_the_other_policies_too(name: str) -> None:
    assert _answers(name, iter([*_mixed_up(name), *_red(name)])) == ""


@pytest.mark.parametrize("name", MODELS)
def test_two_queries_of_a_panel_have_different_legends(name: str) -> None:
    for panel in panels(MODELS[name]):
        legends = [target["legendFormat"] for target in panel["targets"] if target["format"] != "table"]
        assert len(set(legends)) == len(legends), panel["title"]
