"""Whatever happens in whatever order: no rollback that a brake forbids, and never a silent refusal.

Alerts, deployments, answers of people, windows, crashes at every point, a second replica and a clock that jumps are
drawn at random, on a real store.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import aiohttp
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from deploywatch.receiver.actions.rollback import approval, reconsider, rollback, verify
from deploywatch.receiver.actions.rollback.situation import ADVICE, Refusal
from deploywatch.receiver.actions.rollback.verify import Health
from deploywatch.receiver.app import HANDLERS
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.executors.plan import Result
from deploywatch.receiver.incidents import store as incident_store
from deploywatch.receiver.incidents.decide import Effect
from deploywatch.receiver.jobs.claim import LEASE, claim
from deploywatch.receiver.jobs.worker import Worker
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from deploywatch.receiver.settings.executors.plan import Values
from deploywatch.receiver.store import Store
from deploywatch.receiver.store.action_schema import rollbacks, target_locks
from deploywatch.receiver.store.schema import deployments, incidents, jobs, timeline
from deploywatch.receiver.suppression import holding, maintenance
from deploywatch.receiver.suppression.windows import Window
from tests.receiver import scene as setting
from tests.receiver.actions.rollback.outside import GOOD, Deployed, Limits, NotedPlan, Outside
from tests.receiver.scene import HOUR, MINUTE, SECOND, MovingClock, Scene, alert, ended
from tests.support.examples import examples

ANSWERS = {"rollback_refused", "rollback_started", "rollback_dry_run", "approval_wanted"}
REFUSED = re.compile(r"rollback refused \((\w+)\): .+; asked for by .+", re.DOTALL)
FAILING = Result(good=False, detail="no")
SETUPS = {
    "it acts by itself, and not again for an hour": Limits(cooldown=HOUR),
    "rollbacks fail": Limits(result=FAILING, breaker=9),
    "one that fails is the last": Limits(result=FAILING, breaker=1),
    "a person decides": Limits(mode="approve"),
    "a person decides, and rollbacks fail": Limits(mode="approve", result=FAILING, breaker=9),
    "one an hour for a target": Limits(of_target=1),
    "one an hour in all": Limits(in_all=1),
    "it waits, and wants two alerts": Limits(issues=2, delay=5 * MINUTE),
}
CLOSED = {"verified", "not_verified", "failed", "unproven"}

SERVICES, NAMES = st.sampled_from(["shop", "shop", "search"]), st.sampled_from(["HighErrorRate", "ServiceDown"])
AGES = st.sampled_from([MINUTE, MINUTE, HOUR, 3 * HOUR])
WORLDS = st.sampled_from([GOOD, GOOD, FAILING, Result(good=False, detail="?", known=False)])
Then = Literal["work", "replicas", "abandon", "before", "meanwhile", "window", "over"]
THEN = st.sampled_from(["work", "work", "replicas", "window", "abandon", "before", "meanwhile", "over"])
EVENTS = st.one_of(
    st.tuples(st.just("deploy"), SERVICES, AGES, st.sampled_from(["succeeded", "succeeded", "failed", "running"])),
    st.tuples(st.just("finish"), st.booleans(), st.booleans()),
    st.tuples(st.sampled_from(["fire", "resolve"]), SERVICES, NAMES),
    st.tuples(st.just("go_on"), THEN),
    st.tuples(st.just("wait"), st.sampled_from([SECOND, MINUTE, 11 * MINUTE, HOUR])),
    st.tuples(st.just("the_clock_jumps"), st.sampled_from([-HOUR, -10 * MINUTE, 10 * MINUTE, HOUR])),
    st.tuples(st.just("answer"), st.booleans(), st.sampled_from([timedelta(), timedelta(), 12 * MINUTE])),
    st.tuples(st.just("a_person_asks"), SERVICES),
    st.tuples(st.just("a_window_opens"), SERVICES, st.sampled_from([20 * MINUTE, 2 * HOUR])),
    st.tuples(st.just("windows_end")),
    st.tuples(st.just("the_world_changes"), WORLDS, st.booleans()),
)
"""What may happen at any time: the name of what the Receiver below goes through, and with what."""


class Receiver(RuleBasedStateMachine):
    """One receiver, and what happens to it; `store_file` is copied for each course of events."""

    store_file: ClassVar[Path]
    templates: ClassVar[Templates]
    limits: ClassVar[Limits]
    outside: ClassVar[Outside]
    carried_out: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        shutil.copy(self.store_file, self.folder / "store.db")
        self.clock = MovingClock()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def write(self, work: Any) -> Any:
        return self.run(self.scene.context.store.write(work))

    def read(self, query: Any) -> list[Any]:
        """Every row that is found."""
        return list(self.run(self.scene.read(lambda c: c.execute(query).all())))

    @initialize()
    def begin(self) -> None:
        """Two deployments of each service went well."""
        type(self).outside = Outside(self.clock, self.limits, result=self.limits.result)
        config = setting.settings(**self.limits.config()).model_copy(update={"channels": {}})
        self.scene = self.run(self.open(config))
        for service in ("shop", "search"):
            self.deploy(service, HOUR, "succeeded")
            self.deploy(service, MINUTE, "succeeded")

    async def open(self, config: Any) -> Scene:
        store = Store(f"sqlite:///{self.folder}/store.db")
        await store.open()
        context = Context(config, store, self.templates, {}, aiohttp.ClientSession(), self.clock, self.clock.sleep)
        handlers = {kind: partial(handle, context) for kind, handle in HANDLERS.items()}
        self.replica = Worker(store, handlers, owner="b", clock=self.clock)
        return Scene(context, self.clock, Worker(store, handlers, owner="a", clock=self.clock))

    def teardown(self) -> None:
        try:
            self.nothing_is_left_in_between()
        finally:
            self.run(self.scene.context.http.close())
            self.run(self.scene.context.store.close())
            self.loop.close()
            shutil.rmtree(self.folder)

    def deploy(self, service: str, ago: timedelta, status: Literal["running", "succeeded", "failed"]) -> None:
        """A pipeline tells of a deployment."""
        version, began = f"1.{len(self.outside.deployed)}", self.clock.now - ago

        def write(connection: Connection) -> int:
            new = ledger.start(connection, service=service, environment="production", version=version, started_at=began)
            if status != "running":
                ledger.finish(connection, new.id, Status(status), began)
            return new.id

        self.outside.deployed.append(Deployed(self.write(write), service, version, began, status))

    def finish(self, good: bool, told: bool) -> None:
        """Every deployment that runs ends; its end may be told to those who wait for it, or found out by them."""
        for one in self.outside.running():
            one.status, now = "succeeded" if good else "failed", self.clock.now

            def write(connection: Connection, one: Deployed = one, now: Any = now) -> None:
                new = ledger.finish(connection, one.id, Status(one.status), now)
                if new and told:
                    reconsider.look_now(connection, new.service, new.environment, now)

            self.write(write)

    def fire(self, service: str, name: str) -> None:
        """An alert fires."""
        starts = self.clock.now - setting.NOON
        fired = alert(name, starts=starts, severity="critical", action="rollback", service=service)
        effects = self.run(self.scene.take(fired))
        if not any(effect is Effect.IGNORE for effect, _ in effects):
            self.outside.firing[service, name] = fired

    def resolve(self, service: str, name: str) -> None:
        """An alert resolves."""
        if fired := self.outside.firing.pop((service, name), None):
            self.run(self.scene.take(ended(fired)))

    @rule(
        first=st.lists(EVENTS, max_size=2),
        service=SERVICES,
        how=st.sampled_from(["deployed", "deployed", "deploying", "deploying", "by itself", "mended"]),
        several=st.booleans(),
        quiet=st.sampled_from([11 * MINUTE, 11 * MINUTE, 31 * MINUTE, 3 * HOUR]),
        then=THEN,
        said=st.sampled_from(["yes", "no", "late", ""]),
    )
    def it_breaks(
        self, first: list[Any], service: str, how: str, several: bool, quiet: timedelta, then: Then, said: str
    ) -> None:
        """Anything happens; then, after a quiet time, alerts fire: after a deployment, during one, or before a remedy.

        The receiver works or dies meanwhile, and a person answers, and asks once more.
        """
        for name, *arguments in first:
            getattr(self, name)(*arguments)
        self.is_over(service)
        self.wait(quiet)
        if how in ("deployed", "deploying"):
            self.deploy(service, MINUTE, "succeeded" if how == "deployed" else "running")
        self.fire(service, "HighErrorRate")
        if several:
            self.fire(service, "ServiceDown")
        if how == "mended":
            self.clock.advance(SECOND)
            self.deploy(service, timedelta(), "succeeded")
        if then == "window":
            self.a_window_opens(service, 20 * MINUTE)
        if then == "over":
            self.is_over(service)
        self.go_on(then)
        if how == "deploying":
            self.finish(good=several, told=several)
            self.wait(5 * MINUTE)
        self.answered(service, said)

    def is_over(self, service: str) -> None:
        for where, name in list(self.outside.firing):
            if where == service:
                self.resolve(where, name)

    def answered(self, service: str, said: str) -> None:
        if said:
            self.answer(said != "no", 12 * MINUTE if said == "late" else timedelta())
            self.wait(SECOND)
        self.a_person_asks(service)
        self.wait(2 * MINUTE)

    def go_on(self, then: Then) -> None:
        """Do what is due; or a process takes jobs and dies before their commands run, or while they do."""
        match then:
            case "work" | "window" | "over":
                self.run(self.scene.drain())
            case "replicas":
                self.run(self.both())
            case "abandon":
                self.claim()
                self.clock.advance(LEASE + SECOND)
            case "before" | "meanwhile":
                self.outside.dies = then
                self.run(self.die())
                self.outside.dies = ""
                self.clock.advance(LEASE + SECOND)

    async def both(self) -> None:
        await asyncio.gather(self.scene.drain(), self.replica.drain())

    def claim(self) -> list[Any]:
        now = self.clock.now
        return list(self.write(lambda c: claim(c, now, "one that dies", 9)))

    async def die(self) -> None:
        context, now = self.scene.context, self.clock.now
        for job in await context.store.write(lambda c: claim(c, now, "one that dies", 9)):
            if job.kind == rollback.KIND:
                with contextlib.suppress(asyncio.CancelledError):
                    await rollback.handle(context, job)

    def wait(self, by: timedelta) -> None:
        """Time passes, and what is due is done."""
        self.run(self.scene.after(by))

    def the_clock_jumps(self, by: timedelta) -> None:
        """Forwards or backwards."""
        self.clock.advance(by)

    def answer(self, yes: bool, after: timedelta) -> None:
        """A person says yes or no to what was asked last, perhaps too late, while the receiver does nothing."""
        self.clock.advance(after)
        now = self.clock.now
        versions = {deployment.id: deployment.version for deployment in self.outside.deployed}

        def write(connection: Connection) -> None:
            for number in connection.execute(select(incidents.c.id)).scalars().all():
                asked = approval.latest(connection, number)
                if asked is None:
                    continue
                if yes and asked.state == "waiting" and now < asked.expires_at:
                    self.outside.said_yes.add(versions[asked.deployment_id])
                approval.answer(connection, asked, yes=yes, by="ann", note="", now=now)

        self.write(write)

    def a_person_asks(self, service: str) -> None:
        """A person asks for a rollback of what has an open incident."""
        now, key = self.clock.now, incident_store.open_key(service, "production")

        def write(connection: Connection) -> None:
            if found := incident_store.open_by_key(connection, [key]).get(key):
                rollback.queue_for(connection, found, "ann", now)

        self.write(write)

    def a_window_opens(self, service: str, lasts: timedelta) -> None:
        """Maintenance begins, unless there is some."""
        now = self.clock.now
        if self.outside.windows.get(service, now) <= now:
            self.outside.windows[service] = now + lasts
            window = Window(service, "production", now, now + lasts, tell=False, reason="we move")
            self.write(lambda c: maintenance.start(c, window, now))

    def windows_end(self) -> None:
        """Maintenance ends early."""
        now = self.clock.now
        self.outside.windows.clear()

        def write(connection: Connection) -> None:
            for one in maintenance.upcoming(connection, (), now):
                maintenance.end(connection, one.id or 0, max(now, one.starts_at), "ann")
            holding.look_again(connection, now)

        self.write(write)

    def the_world_changes(self, result: Result, healthy: bool) -> None:
        """From now on rollbacks go well or not, and the service is healthy or not."""
        self.outside.result, self.outside.healthy = result, healthy

    @invariant()
    def nobody_outside_objects(self) -> None:
        """Every rollback that was carried out was allowed to be."""
        assert self.outside.objections == []

    @invariant()
    def rollbacks_keep_their_distance(self) -> None:
        """Each is of a recent deployment that began before its incident, after the cooldown, and within the caps."""
        query = (
            select(rollbacks.c.service, rollbacks.c.started_at, deployments.c.started_at, incidents.c.opened_at)
            .select_from(rollbacks.join(deployments, rollbacks.c.deployment_id == deployments.c.id).join(incidents))
            .order_by(rollbacks.c.id)
        )
        limits, earlier = self.outside.limits, list[tuple[str, Any]]()
        for service, began, deployed, opened in self.read(query):
            assert began - deployed <= limits.recent
            assert deployed <= opened
            within = [where for where, at in earlier if at > began - HOUR]
            assert within.count(service) < limits.of_target
            assert len(within) < limits.in_all
            assert all(began >= at + limits.cooldown for where, at in earlier if where == service)
            earlier.append((service, began))

    @invariant()
    def nothing_that_was_asked_for_ends_in_silence(self) -> None:
        """Each finished decision has its own line, a refusal with its reason and what to do; no job broke."""
        columns = (jobs.c.incident_id, jobs.c.state, jobs.c.attempts, jobs.c.note)
        asked = self.read(select(*columns).where(jobs.c.kind == rollback.KIND))
        assert not [
            note for _, state, attempts, note in asked if state == "ready" and attempts
        ]  # it never says "again"
        finished = Counter(number for number, state, *_ in asked if state in ("done", "failed"))
        held = select(jobs.c.incident_id).where(jobs.c.kind == holding.KIND, jobs.c.key.like("%:job:%"))
        told = Counter[int](number for (number,) in self.read(held))
        for number, kind, text in self.read(select(timeline.c.incident_id, timeline.c.kind, timeline.c.text)):
            told[number] += kind in ANSWERS
            if kind == "rollback_refused":
                match = REFUSED.fullmatch(text)
                assert match, text
                assert ADVICE[Refusal(match[1])] in text
        assert not [number for number, count in finished.items() if told[number] < count]

    def nothing_is_left_in_between(self) -> None:
        """When all is well again and time has passed, every rollback has an end, and no target is locked."""
        self.outside.result, self.outside.healthy = GOOD, True
        for _ in range(2):
            self.wait(4 * HOUR)
        self.nobody_outside_objects()
        type(self).carried_out += len(self.outside.ran)
        assert {state for (state,) in self.read(select(rollbacks.c.state))} <= CLOSED
        assert self.read(select(target_locks.c.holder)) == []


@pytest.mark.parametrize("setup", SETUPS)
def test_no_order_of_events_gets_past_the_brakes(
    setup: str, empty_store: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(_: RollbackChoice, values: Values) -> NotedPlan:
        return NotedPlan(Receiver.outside, values)

    async def look(*_: Any) -> Health:
        return Health(Receiver.outside.healthy, "as the world is")

    monkeypatch.setattr(RollbackChoice, "plan", plan)
    monkeypatch.setattr(verify, "look", look)
    monkeypatch.setattr(Receiver, "store_file", empty_store, raising=False)
    monkeypatch.setattr(Receiver, "templates", templates, raising=False)
    monkeypatch.setattr(Receiver, "limits", SETUPS[setup], raising=False)
    monkeypatch.setattr(Receiver, "carried_out", 0, raising=False)
    run_state_machine_as_test(
        Receiver,
        settings=settings(
            max_examples=examples(20),
            stateful_step_count=6,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Receiver.carried_out  # or nothing was tried
