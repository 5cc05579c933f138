"""Performance before and after a deployment: like hours are compared, and what lacks is said."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection

from deploywatch.cli import cli
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.report.performance import Sample, Told, compare, times
from deploywatch.verdict.plan import written
from deploywatch.verdict.plan_parts import HealthSignal
from tests.receiver.assessment.made import ENTERPRISE, HEALTH
from tests.receiver.conftest import MakeScene
from tests.receiver.front import Answered, Front, front_of
from tests.receiver.scene import MovingClock, Scene, settings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGAN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 4 * DAY
ENDED = BEGAN + HOUR
LATENCY = HealthSignal(
    name="latency", title="p95", kind="latency", weight=1, value="v", unit="s", warning="> 800ms", critical="> 1.5s"
)
CONVERSION = LATENCY.model_copy(update={"name": "conversion", "warning": "< 2%", "critical": "< 1%"})


def samples(since: datetime, hours: int, value: Callable[[int], float]) -> list[Sample]:
    """A value each ten minutes, by the hour."""
    begin = since.timestamp()
    return [(begin + 600 * number, value(number // 6)) for number in range(6 * hours)]


def swing(hour: int) -> float:
    """A day's course: far more by day than by night."""
    return 1.0 + 0.8 * math.sin(2 * math.pi * hour / 24)


@pytest.mark.parametrize(
    ("signal", "after", "told"),
    [
        (LATENCY, lambda hour: 1.3 * swing(hour), "worse"),
        (LATENCY, lambda hour: 0.7 * swing(hour), "better"),
        (CONVERSION, lambda hour: 0.7 * swing(hour), "worse"),
        (CONVERSION, lambda hour: 1.3 * swing(hour), "better"),
        (LATENCY, swing, "about the same"),
        (LATENCY, lambda hour: 1.02 * swing(hour), "about the same"),
        # One terrible hour is an incident, and not how it performs.
        (LATENCY, lambda hour: 100.0 if hour == 3 else swing(hour), "about the same"),
        (LATENCY, lambda _: math.nan, "not measured"),
    ],
)
def test_a_signal_is_told_of_by_like_hours(signal: HealthSignal, after: Callable[[int], float], told: Told) -> None:
    change = compare(signal, samples(ENDED - DAY, 24, swing), samples(ENDED, 24, after), DAY)
    assert change.told == told


def test_night_stands_against_night_although_the_time_after_is_short() -> None:
    compared = times(BEGAN, ENDED, ENDED + 8 * HOUR, days=7)
    assert (compared.shift, compared.after.hours) == (DAY, 8)
    before = samples(compared.before.since, 8, swing)
    assert compare(LATENCY, before, samples(ENDED, 8, swing), compared.shift).told == "about the same"


@pytest.mark.parametrize("days", [1, 2, 7, 30])
@pytest.mark.parametrize("lasted", [timedelta(), HOUR, 26 * HOUR])
def test_the_time_before_ends_before_the_deployment_began(days: int, lasted: timedelta) -> None:
    compared = times(BEGAN, BEGAN + lasted, BEGAN + 365 * DAY, days)
    assert compared.before.until <= BEGAN
    assert compared.before.hours == compared.after.hours == days * 24
    assert compared.shift % DAY == timedelta()


def test_fewer_than_six_hours_are_not_enough() -> None:
    change = compare(LATENCY, samples(ENDED - DAY, 5, swing), samples(ENDED, 5, lambda hour: 9 * swing(hour)), DAY)
    assert (change.told, change.hours) == ("not measured", 5)


@pytest.fixture(scope="module")
def prometheus(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Eight days of one service's recorded series: worse latency since the deployment, the same errors."""
    folder = tmp_path_factory.mktemp("performance")
    by_name = {signal.name: signal.value for signal in HEALTH.signals}
    labels = f'service="shop",environment="production",policy="{ENTERPRISE.policy}"'

    def lines() -> Iterator[str]:
        for name, better, worse in (("latency_p99", 0.4, 0.8), ("error_ratio", 0.001, 0.001)):
            yield f"# TYPE {by_name[name]} gauge"
            for number in range(-4 * 288, 4 * 288 - 12):
                at = BEGAN + number * timedelta(minutes=5)
                value = worse if at >= BEGAN else better
                yield f"{by_name[name]}{{{labels}}} {value} {at.timestamp():.0f}"
        yield "# EOF"

    (folder / "past.om").write_text("\n".join(lines()) + "\n")
    build = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "past.om"), str(folder / "tsdb")]
    subprocess.run(build, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n")
    return servers.prometheus(processes, folder / "tsdb", folder / "prometheus.yml")


@pytest.fixture
def clock() -> MovingClock:
    """Three days after the deployment."""
    return MovingClock(ENDED + 3 * DAY)


@pytest.fixture
async def shop(make_scene: MakeScene, prometheus: Running, tmp_path: Path) -> Scene:
    """A receiver with a deployment that ended three days ago."""
    (tmp_path / "plan.json").write_text(written(ENTERPRISE.model_copy(update={"selectors": {}})))
    verification = {"plans": [str(tmp_path / "plan.json")]}
    scene = make_scene(settings(verification=verification, prometheus={"url": prometheus.url}))

    def write(connection: Connection) -> None:
        place = {"service": "shop", "environment": "production"}
        earlier = ledger.start(connection, **place, version="1.2.2", started_at=BEGAN - 2 * DAY)  # type: ignore[arg-type]
        ledger.finish(connection, earlier.id, Status.SUCCEEDED, BEGAN - 2 * DAY)
        new = ledger.start(connection, **place, version="1.2.3", started_at=BEGAN)  # type: ignore[arg-type]
        ledger.finish(connection, new.id, Status.SUCCEEDED, ENDED)

    await scene.context.store.write(write)
    return scene


async def asked(front: Front, query: str) -> Answered:
    """The performance of the second deployment."""
    return await front("GET", f"/deployments/2/performance{query}")


async def test_it_is_compared_over_days_and_what_a_reader_must_know_is_said(shop: Scene) -> None:
    async with front_of(shop) as front:
        data = (await asked(front, "?days=3")).data
        text = (await asked(front, "?days=3&format=markdown")).data
    told = {signal["signal"]: signal for signal in data["signals"]}
    assert (told["latency_p99"]["told"], told["latency_p99"]["change"], told["latency_p99"]["higher"]) == (
        "worse",
        1,
        1,
    )
    assert (told["error_ratio"]["told"], told["error_ratio"]["hours"]) == ("about the same", 72)
    assert told["cpu"]["told"] == "not measured"
    assert any("1.2.2 was deployed" in note for note in data["notes"])
    assert any("other days of the week" in note for note in data["notes"])
    assert "400 ms (p95 400 ms) | 800 ms (p95 800 ms) | +100% | 100% of 72 h | worse |" in text


async def test_fewer_days_than_asked_for_are_said(shop: Scene) -> None:
    async with front_of(shop) as front:
        data = (await asked(front, "")).data
    assert any("72 hours and not 7 days" in note for note in data["notes"])


async def test_what_cannot_be_asked_says_why(shop: Scene, make_scene: MakeScene) -> None:
    async with front_of(shop) as front:
        assert (await front("GET", "/deployments/9/performance")).status == 404
        assert (await asked(front, "?days=many")).status == 400
        assert (await asked(front, "?format=pdf")).status == 400
    away = make_scene(shop.context.settings.model_copy(update={"prometheus": None}))
    async with front_of(away) as front:
        assert (await asked(front, "")).status == 503


async def test_the_command_prints_it_as_the_page_has_it(shop: Scene) -> None:
    page = (Path(__file__).parents[3] / "docs" / "assessment.md").read_text()
    commands = re.findall(r"^deploywatch (deployments report 12 --performance[^#\n]*)", page, re.MULTILINE)
    assert len(commands) == 2
    async with front_of(shop) as front:
        environment = {"DEPLOYWATCH_URL": str(front.http.make_url("/"))}

        async def ran(command: str) -> Result:
            words = command.replace("12", "2").split()
            return await asyncio.to_thread(CliRunner().invoke, cli, words, env=environment)

        table, formatted = [await ran(command) for command in commands]
        page_like = await ran("deployments report 2 --performance --format html")
    assert table.exit_code == formatted.exit_code == 0
    assert "| 800 ms (p95 800 ms) | +100% |" in table.output
    told = {signal["signal"]: signal["told"] for signal in json.loads(formatted.output)["signals"]}
    assert (told["latency_p99"], told["error_ratio"]) == ("worse", "about the same")
    assert page_like.exit_code == 2
    assert "markdown or json" in page_like.output
