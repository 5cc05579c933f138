"""Whatever happens in whatever order: at most one rollback a deployment, only of a recent one, never a silent refusal.

Alerts, deployments, answers of people, crashes at every point and the passing of time are drawn at random, on a real
store with a clock that is moved. The command is a plan that notes what it would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from receiver.actions import approval, rollback, verify
from receiver.actions.executors.choice import RollbackChoice
from receiver.actions.executors.plan import Means, Result, Values
from receiver.actions.settings.rollback import Decide
from receiver.actions.verify import Health
from receiver.app import HANDLERS
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.jobs import LEASE, claim
from receiver.rendering import Templates
from receiver.store import Store
from receiver.store.schema import deployments, incidents, jobs, rollbacks, timeline
from receiver.worker import Worker
from tests.receiver import scene as setting
from tests.receiver.scene import HOUR, MINUTE, MovingClock, RecordedChannel, Scene, alert, ended

RECENT = 2 * HOUR
ANSWERS = {"rollback_refused", "rollback_started", "rollback_dry_run", "approval_wanted", "rollback_unknown"}
NAMES = ("HighErrorRate", "ServiceDown")


@dataclass(slots=True)
class World:
    """What happens outside: which rollbacks were really carried out, and how they and their checks go."""

    ran: list[tuple[str, str]] = field(default_factory=list)
    result: Result = field(default_factory=lambda: Result(good=True, detail="done"))
    healthy: bool = True
    dies: bool = False

    def reset(self) -> None:
        """All is well again, and nothing has happened."""
        fresh = World()
        self.ran, self.result, self.healthy, self.dies = fresh.ran, fresh.result, fresh.healthy, fresh.dies


WORLD = World()


@dataclass(frozen=True, slots=True)
class NotedPlan:
    """A plan that notes in the world that it was carried out, and may take the receiver down with it."""

    values: tuple[str, str]
    programs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.values)

    async def perform(self, means: Means, limit: timedelta) -> Result:
        """Note it."""
        WORLD.ran.append(self.values)
        if WORLD.dies:
            raise asyncio.CancelledError
        return WORLD.result


class Receiver(RuleBasedStateMachine):
    """One receiver, and what happens to it; `store_file` is copied for each course of events."""

    store_file: Path
    templates: Templates

    def __init__(self) -> None:
        super().__init__()
        WORLD.reset()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.store_file, self.folder / "store.db")
        self.clock = MovingClock()
        self.versions = 0
        self.firing: dict[str, Any] = {}
        self.scene = self.run(self.open())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def open(self) -> Scene:
        target = {"command": ["x"], "verify": {"url": "http://x/", "within": "1m", "interval": "20s"}}
        brakes = {"recent": "2h", "cooldown": "10m", "breaker": 3, "targets": [target]}
        config = setting.settings(rollback={"mode": "auto", "approval": {"within": "10m"}, **brakes})
        store = Store(f"sqlite:///{self.folder}/store.db")
        await store.open()
        channels = {"team": RecordedChannel()}
        http = aiohttp.ClientSession()
        desk = Desk(config, store, self.templates, channels, http, clock=self.clock, sleep=self.clock.sleep)
        handlers = {kind: partial(handle, desk) for kind, handle in HANDLERS.items()}
        return Scene(desk, self.clock, Worker(store, handlers, owner="a", clock=self.clock), channels)

    def teardown(self) -> None:
        self.run(self.scene.desk.http.close())
        self.run(self.scene.desk.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    @initialize(mode=st.sampled_from(["auto", "auto", "approve"]), gate=st.booleans())
    def configure(self, mode: str, gate: bool) -> None:
        """Choose how careful it is."""
        desk = self.scene.desk
        gated = Decide(issues=1, confidence=0.3) if gate else None
        chosen = desk.settings.rollback.model_copy(update={"mode": mode, "decide": gated})
        desk.settings = desk.settings.model_copy(update={"rollback": chosen})
        self.deploy(good=True, ago=HOUR)
        self.deploy(good=True, ago=MINUTE)

    @rule(good=st.booleans(), ago=st.sampled_from([MINUTE, HOUR, 3 * HOUR]))
    def deploy(self, good: bool, ago: timedelta) -> None:
        """A pipeline tells of a deployment."""
        self.versions += 1
        self.run(self.scene.deployed(f"1.{self.versions}", ago=ago, good=good))

    @rule()
    def begin_to_deploy(self) -> None:
        """A pipeline begins to deploy, and does not end."""
        self.versions += 1
        version, now = f"1.{self.versions}", self.clock.now
        self.run(
            self.scene.desk.store.write(
                lambda c: ledger.start(c, service="shop", environment="production", version=version, started_at=now)
            )
        )

    @rule(name=st.sampled_from(NAMES))
    def fire(self, name: str) -> None:
        """An alert fires."""
        starts = self.clock.now - setting.NOON
        fired = alert(name, starts=starts, severity="critical", action="rollback")
        self.firing[name] = fired
        self.run(self.scene.take(fired))

    @rule(
        name=st.sampled_from(NAMES),
        then=st.sampled_from(["work", "die", "abandon", "nothing"]),
        quiet=st.sampled_from([11 * MINUTE, 3 * HOUR]),
        deployed=st.booleans(),
    )
    def go_wrong(self, name: str, then: str, quiet: timedelta, deployed: bool) -> None:
        """After a quiet time something goes wrong, and the receiver works, or dies before it does or meanwhile."""
        for firing in list(self.firing):
            self.resolve(firing)
        self.wait(quiet)
        if deployed:
            self.deploy(good=True, ago=MINUTE)
        self.fire(name)
        {"nothing": lambda: None, "work": self.work, "abandon": self.abandon, "die": self.die_while_it_runs}[then]()

    @rule(name=st.sampled_from(NAMES))
    def resolve(self, name: str) -> None:
        """An alert resolves."""
        if name in self.firing:
            self.run(self.scene.take(ended(self.firing.pop(name))))

    @rule()
    def work(self) -> None:
        """Do what is due."""
        self.run(self.scene.drain())

    @rule(by=st.sampled_from([timedelta(seconds=1), MINUTE, 11 * MINUTE, HOUR]))
    def wait(self, by: timedelta) -> None:
        """Time passes, and what is due is done."""
        self.run(self.scene.after(by))

    @rule()
    def abandon(self) -> None:
        """A process takes jobs and dies before it does anything."""
        now = self.clock.now
        self.run(self.scene.desk.store.write(lambda c: claim(c, now, "one that dies", 9)))
        self.clock.advance(LEASE + timedelta(seconds=1))

    @rule()
    def die_while_it_runs(self) -> None:
        """A process takes jobs and dies while its command runs."""
        WORLD.dies = True
        with contextlib.suppress(asyncio.CancelledError):
            self.run(self._die())
        WORLD.dies = False
        self.clock.advance(LEASE + timedelta(seconds=1))

    async def _die(self) -> None:
        desk, now = self.scene.desk, self.clock.now
        for job in await desk.store.write(lambda c: claim(c, now, "one that dies", 9)):
            if job.kind == rollback.KIND:
                with contextlib.suppress(asyncio.CancelledError):
                    await rollback.handle(desk, job)

    @rule(yes=st.booleans())
    def answer(self, yes: bool) -> None:
        """A person says yes or no, whether or not anybody asked."""
        now = self.clock.now

        def write(connection: Any) -> None:
            for number in connection.execute(select(incidents.c.id)).scalars().all():
                asked = approval.latest(connection, number)
                if asked is not None:
                    approval.answer(connection, asked, yes=yes, by="ann", note="", now=now)

        self.run(self.scene.desk.store.write(write))

    @rule(good=st.booleans(), known=st.booleans(), healthy=st.booleans())
    def change_the_world(self, good: bool, known: bool, healthy: bool) -> None:
        """From now on rollbacks go well or not, and the service is healthy or not."""
        WORLD.result = Result(good, "as the world is", known=good or known)
        WORLD.healthy = healthy

    @invariant()
    def no_deployment_is_rolled_back_twice(self) -> None:
        """Not even after a crash."""
        counted = Counter(WORLD.ran)
        assert not [what for what, times in counted.items() if times > 1]

    @invariant()
    def only_recent_deployments_are_rolled_back(self) -> None:
        """Neither an old one, nor one that began after its incident had opened."""
        query = select(rollbacks.c.started_at, deployments.c.started_at, incidents.c.opened_at).select_from(
            rollbacks.join(deployments, rollbacks.c.deployment_id == deployments.c.id).join(
                incidents, rollbacks.c.incident_id == incidents.c.id
            )
        )
        for began, deployed, opened in self.run(self.scene.read(lambda c: c.execute(query).all())):
            assert began - deployed <= RECENT
            assert deployed <= opened

    @invariant()
    def nothing_that_was_asked_for_ends_in_silence(self) -> None:
        """Each finished decision has its own line on the timeline."""
        asked = select(jobs.c.incident_id).where(jobs.c.kind == rollback.KIND, jobs.c.state != "ready")
        done = asked.where(jobs.c.state.in_(("done", "failed")))
        lines = select(timeline.c.incident_id).where(timeline.c.kind.in_(ANSWERS - {"rollback_unknown"}))
        finished = Counter(self.run(self.scene.read(lambda c: c.execute(done).scalars().all())))
        told = Counter(self.run(self.scene.read(lambda c: c.execute(lines).scalars().all())))
        assert not [number for number, count in finished.items() if told[number] < count]


def test_no_order_of_events_gets_past_the_brakes(
    empty_store: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(_: RollbackChoice, values: Values) -> NotedPlan:
        return NotedPlan((values["service"], values["from_version"]))

    async def look(*_: Any) -> Health:
        return Health(WORLD.healthy, "as the world is")

    monkeypatch.setattr(RollbackChoice, "plan", plan)
    monkeypatch.setattr(verify, "look", look)
    monkeypatch.setattr(Receiver, "store_file", empty_store, raising=False)
    monkeypatch.setattr(Receiver, "templates", templates, raising=False)
    run_state_machine_as_test(
        Receiver,
        settings=settings(
            max_examples=50,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
