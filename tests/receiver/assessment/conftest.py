"""A real Prometheus that has recorded the health of several services, and a receiver that assesses them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.receiver.deployments import assessments, ledger
from deploywatch.receiver.deployments.assessments import StoredAssessment
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.verdict.plan import written
from tests.receiver.assessment.made import ENTERPRISE, HEALTH
from tests.receiver.scene import MovingClock, Scene, settings

BEGINS = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
"""When every deployment begins; Prometheus keeps what is that old, and the future of a test is in the past."""
STEP = timedelta(seconds=30)
LASTS = timedelta(hours=2)
WELL = {"error_ratio": 0.001, "latency_p99": 0.4, "cpu": 0.5, "memory": 0.6, "disk": 0.3}
BUSINESS = {"drop(conversion_ratio)": 0.02, "loss(revenue)": 100.0}
Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the rules recorded of a service: values and statuses by signal, impact, degrees by anomaly.

    `replicas` is how often each series is there, `until` when recording stopped, counted from the deployment.
    """

    service: str
    values: Values
    statuses: Values
    impact: float | None = None
    degrees: Values | None = None
    replicas: int = 1
    usual: float | None = None
    until: timedelta = LASTS


def _of(values: Values, points: float = 1) -> dict[str, float]:
    return dict.fromkeys(values, points)


ALL = {**WELL, **BUSINESS}
SERVICES = [
    Recorded("well", ALL, _of(ALL), impact=0.5, degrees={limit.name: 0 for limit in HEALTH.anomaly_limits}),
    Recorded(
        "sick",
        {**ALL, "error_ratio": 0.072, "cpu": 0.75},
        {**_of(ALL), "error_ratio": 0, "cpu": 0.5},
        impact=4.0,
        degrees={"zscore(error_ratio)": 2, "trend(memory)": 1, "zscore(latency_p99)": 0},
    ),
    Recorded("bare", {}, {}),
    Recorded("half", {"error_ratio": 0.001, "latency_p99": 0.4}, _of({"error_ratio": 0, "latency_p99": 0}), impact=0.0),
    Recorded("nan", {**ALL, "cpu": float("nan")}, {**_of(ALL), "cpu": float("nan"), "disk": 0.7}, impact=float("nan")),
    Recorded("twice", ALL, _of(ALL), impact=1.0, replicas=2),
    Recorded("unusual", {**ALL, "error_ratio": 0.015}, _of(ALL), impact=0.0, usual=0.001),
    Recorded("stops", ALL, _of(ALL), impact=0.0, until=timedelta(minutes=10)),
]


def _series(given: Recorded, moments: list[datetime]) -> Iterator[tuple[str, str, float, datetime]]:
    where = f'policy="enterprise",service="{given.service}",environment="production"'
    names = {signal.name: signal.value for signal in HEALTH.signals}
    for replica in range(given.replicas):
        of = where + (f',replica="{replica}"' if given.replicas > 1 else "")
        # A second replica that sees it worse.
        worse = 0.5 * replica
        for at in moments:
            for name, value in given.values.items():
                yield names[name], of, value, at
            for name, points in given.statuses.items():
                yield HEALTH.signal_status, f'{of},signal="{name}"', points - (worse if name == "cpu" else 0), at
            if given.impact is not None:
                yield HEALTH.impact, of, given.impact + 2 * replica, at
            for name, degree in (given.degrees or {}).items():
                yield HEALTH.anomalies, f'{of},anomaly="{name}"', degree, at


def _usual(given: Recorded) -> Iterator[tuple[str, str, float, datetime]]:
    """The same hours of the weeks before."""
    if given.usual is None:
        return
    where = f'policy="enterprise",service="{given.service}",environment="production"'
    for weeks in (1, 2):
        begin = BEGINS - timedelta(weeks=weeks)
        for number in range(int(LASTS / timedelta(minutes=4))):
            at, value = begin + number * timedelta(minutes=4), given.usual * (1.2 if number % 2 else 0.8)
            yield HEALTH.signals[0].value, where, value, at


def _write(folder: Path) -> None:
    rows: dict[str, list[str]] = {}
    for given in SERVICES:
        steps = int((given.until + timedelta(minutes=10)) / STEP) if given.until == LASTS else int(given.until / STEP)
        moments = [BEGINS - timedelta(minutes=10) + number * STEP for number in range(steps + 20)]
        for name, labels, value, at in (*_series(given, moments), *_usual(given)):
            rows.setdefault(name, []).append(f"{name}{{{labels}}} {value} {at.timestamp():.0f}")
    text = folder.parent / "assessment.om"
    lines = [line for name, found in rows.items() for line in (f"# TYPE {name} gauge", *found)]
    text.write_text("\n".join((*lines, "# EOF", "")).replace(" nan ", " NaN "))
    folder.mkdir(parents=True, exist_ok=True)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder)]
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Past:
    """The Prometheus, and the plan's file."""

    prometheus: Running
    file: Path


@pytest.fixture(scope="session")
def recorded(processes: Processes, workshop: Path) -> Past:
    """Every service's recorded health in a Prometheus's storage, and the enterprise plan for all services."""
    folder = workshop / "assessment"
    folder.mkdir()
    _write(folder / "tsdb")
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    file = folder / "plan.json"
    file.write_text(written(ENTERPRISE.model_copy(update={"selectors": {}})))
    return Past(servers.prometheus(processes, folder / "tsdb", config), file)


@pytest.fixture
def clock() -> MovingClock:
    """The beginning of the deployment, until it is moved."""
    return MovingClock(BEGINS)


def configured(recorded: Past, **more: Any) -> ReceiverConfig:
    """A receiver that assesses by the plan."""
    given = {"verification": {"plans": [str(recorded.file)]}, "prometheus": {"url": recorded.prometheus.url}, **more}
    return settings(**given)


async def begun(scene: Scene, service: str, version: str = "1.2.4") -> Deployment:
    """A deployment that begins now and is assessed."""

    def write(connection: Connection) -> Deployment:
        now = scene.clock.now
        new = ledger.start(
            connection, service=service, environment="production", version=version, started_at=now, deployer="ci"
        )
        assessments.queue(connection, new, now)
        return new

    return await scene.context.store.write(write)


async def on(scene: Scene, minutes: float, *, step: float = 0.25) -> None:
    """Let time pass in the worker's steps, and do what is due."""
    end = scene.clock.now + timedelta(minutes=minutes)
    while scene.clock.now < end:
        await scene.after(min(timedelta(minutes=step), end - scene.clock.now))


async def newest(scene: Scene, deployment: Deployment) -> StoredAssessment:
    """The newest assessment."""
    found: StoredAssessment | None = await scene.read(lambda c: assessments.newest(c, deployment.id))
    assert found is not None
    return found


async def every(scene: Scene, deployment: Deployment) -> list[StoredAssessment]:
    """Every assessment, the oldest first."""
    found: list[StoredAssessment] = await scene.read(lambda c: assessments.recent(c, deployment.id, limit=10_000))
    return found[::-1]


async def ledgered(scene: Scene, deployment: Deployment) -> Deployment:
    """The deployment as it stands."""
    found: Deployment = await scene.read(lambda c: ledger.get(c, deployment.id))
    return found
