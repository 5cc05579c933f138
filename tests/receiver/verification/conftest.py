"""A real Prometheus with a past, a policy's verification plan, and a receiver that judges by both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.receiver.deployments import ledger, looks, stages, verdicts
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage
from deploywatch.receiver.deployments.verdicts import StoredVerdict
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.verification import watcher
from deploywatch.verdict.plan import Plan
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MovingClock, Scene, settings
from tests.receiver.verification import history
from tests.receiver.verification.traffic import TRAFFIC
from tests.support.policies import planned, shop

POLICY = shop(
    """
selectors: {environment: production}
interval: 30s
stages:
  - {stage: canary-10, share: 10%, lasts: 10m}
  - {stage: full, share: 100%, lasts: 10m}
gate:
  - {require: approval, of: [tech-lead, product-manager]}
  - {require: capacity, that: cpu < 70%}
  - {require: backup, within: 24h}
  - {require: record, of: security-scan, within: 7d}
  - {require: [on_call, rollback_target, monitoring, baseline, no_open_incident, change_window]}
  - {require: staging_verified, of: staging, within: 7d}
verdict:
  fail: [error_ratio > 0.5%]
  watch: [cpu > 90%]
  source: {ours: figures}
""",
    control="{label: deployment, new: canary, old: stable}",
)

BEGINS = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
"""When the stage of every scene begins; Prometheus keeps what is that old, and the future of a test is in the past."""


@dataclass(frozen=True, slots=True)
class Past:
    """The Prometheus, and the plan's file."""

    prometheus: Running
    plan: Plan
    file: Path


@pytest.fixture(scope="session")
def past(processes: Processes, workshop: Path) -> Past:
    """Every scene of traffic in a Prometheus's storage, and the plan of the policy."""
    folder = workshop / "verification"
    folder.mkdir()
    plan = planned(POLICY, folder)
    record = plan.watch[0].query.partition("{")[0]
    history.write(folder / "tsdb", TRAFFIC, BEGINS, record)
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    return Past(servers.prometheus(processes, folder / "tsdb", config), plan, folder / "shop.json")


@pytest.fixture
def clock() -> MovingClock:
    """The beginning of the stage, until it is moved."""
    return MovingClock(BEGINS)


def configured(past: Past, **more: Any) -> ReceiverConfig:
    """A receiver that judges by the plan."""
    return settings(
        verification={"plans": [str(past.file)], **more.pop("verification", {})},
        prometheus={"url": past.prometheus.url},
        **more,
    )


@dataclass(slots=True)
class Watched:
    """A deployment that is watched, and what is known of it."""

    scene: Scene
    deployment: Deployment
    stage: RunningStage

    async def on(self, minutes: float) -> None:
        """Let time pass in the worker's steps, and do what is due."""
        end = self.scene.clock.now + timedelta(minutes=minutes)
        while self.scene.clock.now < end:
            await self.scene.after(min(timedelta(seconds=30), end - self.scene.clock.now))

    async def verdict(self) -> StoredVerdict:
        """The newest verdict."""
        found: StoredVerdict | None = await self.scene.read(lambda c: verdicts.newest(c, self.stage.id))
        assert found is not None
        return found

    async def verdicts(self) -> list[StoredVerdict]:
        """Every verdict, the oldest first."""
        found: list[StoredVerdict] = await self.scene.read(
            lambda c: verdicts.of_deployment(c, self.deployment.id, limit=1000)
        )
        return found[::-1]

    async def looks(self) -> list[StoredLook]:
        """Every look."""
        found: list[StoredLook] = await self.scene.read(lambda c: looks.of_stage(c, self.stage.id))
        return found

    async def now(self) -> RunningStage:
        """The stage as it stands."""
        found: RunningStage = await self.scene.read(lambda c: stages.get(c, self.stage.id))
        return found

    async def ledger(self) -> Deployment:
        """The deployment as it stands."""
        found: Deployment = await self.scene.read(lambda c: ledger.get(c, self.deployment.id))
        return found


Watch = Callable[..., Any]


async def begin(scene: Scene, past: Past, service: str, *, stage: str = "canary-10") -> Watched:
    """Deploy a new version of a service after an old one that was well, and begin a stage of it."""
    await scene.deployed("1.2.3", ago=timedelta(days=1), service=service)

    def write(connection: Connection) -> tuple[Deployment, RunningStage]:
        now = scene.clock.now
        deployment = ledger.start(
            connection, service=service, environment="production", version="1.2.4", started_at=now, deployer="ci"
        )
        values = {"service": service, "environment": "production", "version": "1.2.4", "previous_version": "1.2.3"}
        planned_stage = past.plan.stage(stage)
        assert planned_stage is not None
        begun = stages.begin(connection, deployment.id, past.plan.for_stage(planned_stage, values), now)
        watcher.queue(connection, begun, now)
        return deployment, begun

    deployment, begun = await scene.context.store.write(write)
    return Watched(scene, deployment, begun)


@pytest.fixture
def watch(make_scene: MakeScene, past: Past) -> Watch:
    """Begins a stage of a service in a scene of its own, or in one that is given."""

    async def start(service: str, *, scene: Scene | None = None, stage: str = "canary-10", **more: Any) -> Watched:
        return await begin(scene or make_scene(configured(past, **more)), past, service, stage=stage)

    return start
