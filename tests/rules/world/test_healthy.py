"""A healthy fortnight with ten deployments that change nothing: nobody is paged, whatever the policy.

Traffic swings by ±60 % each day, each deployment restarts all instances (and has a canary for an hour, where there are
any), Prometheus is away once, and an instance is restarted by itself. The fortnight is evaluated every 20 minutes
(scripts/verify), and three hours of it, with a deployment, a gap and a restart, at the policy's own interval (the gate,
with a day's swing in test_cases_before).
"""

from __future__ import annotations

import re

import pytest

from deploywatch.rules.resolve import resolve
from tests.rules.tools import SHIPPED, heavy_where_it_is_largest, shipped
from tests.support.world.film import Track
from tests.support.world.play import Look, Run, play
from tests.support.world.systems import System, system
from tests.support.world.timeline import DAY, HOUR, daily

NAMES = [path.stem for path in SHIPPED]
MINUTE = 60
LENGTH, EVERY, STEP = 14 * DAY, 20 * MINUTE, 150
DEPLOYMENTS = 10
OTHERS = 2
"""So many alerts below high there may be in a fortnight."""


def fortnight(name: str) -> System:
    """The system of a policy, for two weeks in which nothing happens to its users."""
    world = system(name)
    for number, place in enumerate(world.places.values()):
        for at, season in daily(number, LENGTH).items():
            place.timeline.at(at, season=season)
        for one in range(DEPLOYMENTS):
            # Every 33 hours, so that they fall on all hours of a day; a minute before rules are evaluated.
            began = (12 + 33 * one) * HOUR - MINUTE * 2.5
            place.timeline.deployed(began, f"v{one}")
            if place.roles:
                place.timeline.between(began, began + HOUR, canary_failing=place.timeline.usual.failing)
        place.timeline.between(5 * DAY, 5 * DAY + 10 * MINUTE, scraped=False)
        place.timeline.restarts.add(7.5 * DAY)
    return world


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_nobody_is_paged_in_a_healthy_fortnight(name: str) -> None:
    if name == "demo":
        pytest.skip("the demo evaluates every second and is over in minutes; its three hours are below")
    tracks = fortnight(name).tracks(length=LENGTH, step=STEP)
    fired = _fired(name, tracks, length=LENGTH, step=STEP, every=EVERY)
    severities = {alert.alert: alert.severity for alert in shipped(name).alerts}
    pages = {one for one in fired if severities[one] in {"critical", "high"}}
    assert not pages
    assert len(fired - pages) <= OTHERS, fired


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", heavy_where_it_is_largest(NAMES))
def test_a_deployment_a_gap_and_a_restart_fire_nothing(name: str) -> None:
    interval = int(shipped(name).interval.total_seconds())
    scale = interval / 30
    world = system(name)
    for place in world.places.values():
        place.timeline.deployed(round(90 * MINUTE * scale), "v2")
        if place.roles:
            place.timeline.between(
                round(90 * MINUTE * scale), round(120 * MINUTE * scale), canary_failing=place.timeline.usual.failing
            )
        place.timeline.between(round(40 * MINUTE * scale), round(44 * MINUTE * scale), scraped=False)
        place.timeline.restarts.add(round(60 * MINUTE * scale))
    length = round(2.5 * HOUR * scale)
    assert (
        _fired(name, world.tracks(length=length, step=interval), length=length, step=interval, every=interval) == set()
    )


def _fired(name: str, tracks: list[Track], *, length: int, step: int, every: int) -> set[str]:
    """The alerts that have fired, as promtool has them."""
    run = Run("all is well", tracks, step, [Look(length, ever=length)])
    said = play(resolve(shipped(name)), [run], every=every)
    assert not said or "got:" in said, said
    return set(re.findall(r'alertname="(\w+)"\}', said))
