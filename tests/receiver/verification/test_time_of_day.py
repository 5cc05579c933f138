"""A version that is compared with the hour before it is not blamed for what that hour does every day."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Line
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.verification import counting, time_of_day
from deploywatch.receiver.verification.counting import Source
from deploywatch.receiver.verification.time_of_day import Usual, change
from deploywatch.verdict.plan_parts import Counts, Limit
from deploywatch.verdict.values import Answer, Reason
from tests.receiver.conftest import MakeScene
from tests.receiver.verification.conftest import BEGINS, Past, begin, configured
from tests.support.policies import planned, shop

POLICY = shop(
    """
selectors: {environment: production}
interval: 30s
stages:
  - {stage: full, share: 100%, lasts: 10m}
verdict:
  fail: [error_ratio > 20%, rise(error_ratio) > 25%]
  source: {ours: figures}
"""
)
STEP, HOUR = 30, 3600
LIMIT = Limit(
    name="rise(error_ratio) > 25%", signal="error_ratio", limit=1.25, relative=True, new=Counts(requests="", bad="")
)
EVERY_DAY = dict.fromkeys(range(1, 15), (2, 6))
SCENES = {
    # By day before today: bad requests a look in the hour before, and in the hour after; a look has 1,000.
    "rush": {0: (2, 6), **EVERY_DAY},
    "worse-than-the-rush": {0: (2, 24), **EVERY_DAY},
    "calm": {0: (2, 6), **dict.fromkeys(range(1, 15), (2, 2))},
    "newborn": {0: (2, 6)},
    # One strange day, such as an outage that nobody recorded, excuses nothing.
    "one-strange-day": {0: (2, 6), **dict.fromkeys(range(1, 14), (2, 2)), 14: (2, 40)},
}


def _lines() -> Iterator[str]:
    yield "# TYPE http_requests counter"
    for service, days in SCENES.items():
        for status in ("200", "500"):
            labels = f'job="app",instance="{service}",service="{service}",environment="production",status="{status}"'
            count = 0
            for day in sorted(days, reverse=True):
                for at in range(-HOUR - 4 * STEP, HOUR + STEP, STEP):
                    bad = days[day][at > 0]
                    count += bad if status == "500" else 1000 - bad
                    yield f"http_requests_total{{{labels}}} {count} {BEGINS.timestamp() - day * 86400 + at:.0f}"
    yield "# EOF"


@pytest.fixture(scope="module")
def fortnight(processes: Processes, workshop: Path) -> Past:
    """Two weeks of two hours each in a Prometheus's storage, and a plan without a control."""
    folder = workshop / "fortnight"
    folder.mkdir()
    plan = planned(POLICY, folder)
    (folder / "history.om").write_text("\n".join((*_lines(), "")))
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run([*made, str(folder / "history.om"), str(folder / "tsdb")], check=True, capture_output=True)
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    return Past(servers.prometheus(processes, folder / "tsdb", config), plan, folder / "shop.json")


@pytest.mark.parametrize(
    ("service", "proven", "times", "days"),
    [
        ("rush", False, 3, 14),
        ("worse-than-the-rush", True, 3, 14),
        ("calm", True, 1, 14),
        ("newborn", True, 1, 0),
        ("one-strange-day", True, 1, 14),
    ],
)
async def test_a_rise_counts_only_above_what_this_hour_does_on_other_days(
    make_scene: MakeScene, fortnight: Past, *, service: str, proven: bool, times: float, days: int
) -> None:
    watched = await begin(make_scene(configured(fortnight)), fortnight, service, stage="full")
    await watched.on(9)
    verdict, stage = await watched.verdict(), await watched.now()
    # A change against the past never rolls back: a person decides.
    assert (verdict.answer, stage.state) == (Answer.HOLD, StageState.RUNNING)
    assert (verdict.reason is Reason.NEEDS_PERSON) is proven, verdict.sentences
    assert verdict.confidence["value"] <= 0.6
    assert any("time of day not excluded" in why for why in verdict.confidence["why_not_higher"])
    usual = Usual.read((stage.usual or {})[LIMIT.name])
    assert usual.times == pytest.approx(times, rel=0.02)
    assert usual.days == days
    if proven:
        assert "time of day not excluded, so a person decides" in verdict.sentences[0]
        told = "0 of the last 14 days can be compared" if not days else "on 13 of 14 days"
        assert told in verdict.sentences[0]


async def test_days_with_an_incident_are_left_out(make_scene: MakeScene, fortnight: Past) -> None:
    scene = make_scene(configured(fortnight))
    for day in range(1, 5):
        await scene.deployed(f"0.{day}", ago=timedelta(days=day), service="rush", good=False)
        await scene.deployed(f"1.{day}", ago=timedelta(days=day) - timedelta(minutes=30), service="rush")
    watched = await begin(scene, fortnight, "rush", stage="full")
    await watched.on(2)
    assert ((await watched.now()).usual or {})[LIMIT.name]["days"] == 10


class _Forgetful:
    """A Prometheus that has three days, and whose store of older samples is away."""

    def __init__(self) -> None:
        self.asked = 0

    async def query_range(self, query: str, *, start: float, **_more: object) -> list[Line]:
        """Ten bad of a thousand, always; UnreachableError for what is old."""
        self.asked += 1
        if start < BEGINS.timestamp() - 3 * 86400 - 3600:
            raise UnreachableError("the store is away")
        return [Line({}, ((start, 10.0 if query == "bad" else 1000.0),))]


async def test_old_samples_that_are_away_keep_no_verdict_from_being_made(fortnight: Past) -> None:
    planned_stage = fortnight.plan.stage("full")
    assert planned_stage is not None
    of_stage = fortnight.plan.for_stage(planned_stage, {})
    limits = (LIMIT.model_copy(update={"new": Counts(requests="requests", bad="bad")}),)
    stage = RunningStage(
        1, 1, "full", 1, of_stage.model_copy(update={"limits": limits}), None, StageState.RUNNING, BEGINS
    )
    prometheus = _Forgetful()
    asked = Source(prometheus, 10.0)  # type: ignore[arg-type] # as far as it is asked
    assert await counting.usual(asked, stage) == {LIMIT.name: Usual(1.0, 3)}
    # It is not asked again and again for what is away.
    assert prometheus.asked == 3 * 4 + 1


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        ([(1000, 10)], [(1000, 10)], 1),
        ([(1000, 10)], [(2000, 20)], pytest.approx(0.976, abs=0.001)),
        ([(500, 5), (500, 5)], [(1000, 31)], 3),
        ([(1000, 0)], [(1000, 10)], 21),
        # Nine bad requests are noise, and without traffic there is no ratio.
        ([(1000, 4)], [(1000, 5)], None),
        ([(0, 0)], [(1000, 50)], None),
        ([], [(1000, 50)], None),
    ],
)
def test_the_change_of_a_day(before: list[tuple[int, int]], after: list[tuple[int, int]], times: object) -> None:
    assert change(before, after) == times


def test_the_greatest_change_is_left_out_and_few_days_say_nothing() -> None:
    assert time_of_day.usual([1.0, 9.0, 2.0, None, 3.0, 1.5]) == Usual(3.0, 5)
    few = time_of_day.usual([9.0, 9.0, 9.0, 9.0, None])
    assert few == Usual(1.0, 4)
    assert time_of_day.allowed(LIMIT, few) == time_of_day.allowed(LIMIT, None) == 1.25
    assert "4 of the last 14 days can be compared" in time_of_day.said(LIMIT, few)


def test_the_policys_own_limit_is_never_made_stricter_and_never_beyond_what_can_be_computed() -> None:
    assert time_of_day.allowed(LIMIT, Usual(0.5, 14)) == 1.25
    assert time_of_day.allowed(LIMIT, Usual(2.0, 14)) == 2.0
    assert time_of_day.allowed(LIMIT, Usual(1000.0, 14)) == 15
