"""Whatever Prometheus and Alertmanager do: after quiet, the open incidents are what is really firing.

A played pair of each times out, merges, forgets, is silenced, is parted and restarts, in any order; the receiver is
away at times. With `upstream` the open incidents are then exactly the truth. Without it nothing that fires is missing;
what resolved while it was silenced, or in a restarted Alertmanager, may stay open.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.app import HANDLERS
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.worker import Worker
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.upstream import Alertmanager, Reconcile
from deploywatch.receiver.store import Store
from deploywatch.receiver.upstream.alertmanager import Seen, Silenced
from deploywatch.receiver.upstream.reconcile import Reconciler, note
from tests.receiver.scene import MINUTE, MovingClock, Scene, settings
from tests.support.alerting import WATCHDOG, Name, World
from tests.support.judging import Judge

STEPS = int(os.environ.get("MODEL_STEPS", "2000"))
_OF_ONE = 100
_PHASES = (Phase.generate,) if "MODEL_FAST" in os.environ else tuple(Phase)
_LOOK = Reconcile().pause // MINUTE
"""Minutes from one comparison with Alertmanager to the next."""
_HEALED_WITHIN = 20
"""Minutes: an alert is missing for five of them, its Alertmanager is up for ten, and what may come between."""
URLS = ("http://alertmanager-0", "http://alertmanager-1")
NAMES = st.sampled_from([("shop", "HighErrorRate"), ("shop", "ServiceDown"), ("search", "HighLatency")])
WHICH = st.integers(0, 1)
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["begin", "begin", "end"]), NAMES),
    st.tuples(st.sampled_from(["mute", "unmute"]), NAMES),
    st.tuples(st.just("pause"), st.integers(1, 3), st.integers(1, 12)),
    st.tuples(st.just("outage"), st.integers(3, 9)),
    st.tuples(st.sampled_from(["restart", "lose_log"]), WHICH),
    st.tuples(st.sampled_from(["part", "join", "away", "back"])),
    st.tuples(st.just("wait"), st.integers(1, 8)),
)


class Model(RuleBasedStateMachine):
    """The receiver behind the played pairs."""

    upstream: ClassVar[bool]
    empty: ClassVar[Path]
    templates: ClassVar[Templates]
    playing: ClassVar[Model]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())

    @initialize()
    def start(self) -> None:
        """Nothing fires yet."""
        self.loop.run(self._start())

    async def _start(self) -> None:
        shutil.copy(self.empty, self.folder / "store.db")
        self.clock = MovingClock()
        self.world = World(self.clock.now)
        self.is_away, self.minutes = False, 0
        self.judge = Judge(self.world, _HEALED_WITHIN if self.upstream else None)
        upstream = {"alertmanagers": URLS, "watchdog": {"within": "5m"}} if self.upstream else {}
        config = settings(upstream=upstream, quiet_time="3m").model_copy(update={"channels": {}})
        store = Store(f"sqlite:///{self.folder}/store.db")
        await store.open()
        self.http = aiohttp.ClientSession()
        context = Context(config, store, self.templates, {}, self.http, clock=self.clock, sleep=self.clock.sleep)
        handlers: dict[str, Any] = {kind: partial(handle, context) for kind, handle in HANDLERS.items()}
        self.scene = Scene(context, self.clock, Worker(store, handlers, owner="model", clock=self.clock))
        self.reconciler = Reconciler(context)
        Model.playing = self

    async def look(self, _: aiohttp.ClientSession, server: Alertmanager, __: str) -> Seen:
        """What one of the Alertmanagers lists."""
        return self.world.alertmanagers[URLS.index(server.url)].seen(self.clock.now, self.world.muted)

    @rule(event=EVENTS)
    def step(self, event: tuple[Any, ...]) -> None:
        """Something happens, and a minute passes."""
        name, *about = event
        getattr(self, f"_{name}")(*about)
        self.loop.run(self._minutes(1))

    def _begin(self, name: Name) -> None:
        self.world.firing.add(name)

    def _end(self, name: Name) -> None:
        self.world.firing.discard(name)

    def _mute(self, name: Name) -> None:
        self.world.muted.add(name)

    def _unmute(self, name: Name) -> None:
        self.world.muted.discard(name)

    def _pause(self, which: int, minutes: int) -> None:
        for number, prometheus in enumerate(self.world.prometheus):
            if which & (number + 1):
                prometheus.paused_until = self.clock.now + minutes * MINUTE

    def _outage(self, minutes: int) -> None:
        """Neither Prometheus evaluates for so long: what fires may time out, and then fires on."""
        self._pause(3, minutes)
        self._wait(minutes + 2)

    def _restart(self, which: int) -> None:
        self.world.alertmanagers[which].restart(self.clock.now)

    def _lose_log(self, which: int) -> None:
        self.world.alertmanagers[which].log.clear()

    def _part(self) -> None:
        self.world.parted = True

    def _join(self) -> None:
        self.world.parted = False

    def _away(self) -> None:
        self.is_away = True

    def _back(self) -> None:
        self.is_away = False

    def _wait(self, minutes: int) -> None:
        self.loop.run(self._minutes(minutes))

    async def _minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(MINUTE)
            self.minutes += 1
            sent: list[tuple[Alert, ...]] = []
            self.world.tick(self.clock.now, lambda alerts, sent=sent: self._take(alerts, sent))  # type: ignore[misc] # mypy sees no types for the defaults
            delivered = [alert for alerts in sent for alert in alerts]
            self.judge.watch(delivered, away=self.is_away)
            if self.is_away:
                continue
            for alerts in sent:
                # Without the setting it is an alert like any other, and there is none such.
                await self.scene.take(*(alert for alert in alerts if self.upstream or alert.name != WATCHDOG[1]))
            if self.upstream and self.minutes % _LOOK == 0:
                await self._heal()
            await self.scene.drain()
            faults = self.judge.judge(await self._stored(), await self._open())
            assert not faults, f"{self.clock.now:%H:%M}: {faults}"

    async def _heal(self) -> None:
        healing = await self.reconciler.round()
        if healing is None:
            return
        now, context = self.clock.now, self.scene.context
        delivery = Delivery(now, b"", healing.alerts, also=lambda c: _counted(note(c, healing, now)))
        await context.store.write(lambda c: ingest(c, context.settings, [delivery], now))

    def _take(self, alerts: tuple[Alert, ...], sent: list[tuple[Alert, ...]]) -> bool:
        if not self.is_away:
            sent.append(alerts)
        return not self.is_away

    def teardown(self) -> None:
        """It becomes quiet, and what is open is what fires."""
        try:
            if hasattr(self, "scene"):
                self.loop.run(self._settle())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)

    async def _settle(self) -> None:
        try:
            self.is_away = self.world.parted = False
            self.world.muted.clear()
            for prometheus in self.world.prometheus:
                prometheus.paused_until = self.clock.now
            await self._minutes(3)
            firing = {f"{alert.labels['service']}/{alert.name}" for alert in await self._stored()}
            truth = {f"{service}/{name}" for service, name in self.world.firing}
            assert truth <= firing, f"{truth - firing} fire, and nobody knows"
            await self._minutes(25)
            firing = {f"{alert.labels['service']}/{alert.name}" for alert in await self._stored()}
            assert truth <= firing, f"{truth - firing} fire, and nobody knows"
            if self.upstream:
                assert firing == truth, f"{firing - truth} are over"
            # Longer than what keeps coming back must stay quiet; the watchdog is heard meanwhile.
            await self._minutes(45)
            services = await self._open()
            assert services >= {service for service, _ in self.world.firing}
            if self.upstream:
                assert services == {service for service, _ in self.world.firing}
        finally:
            await self.http.close()
            await self.scene.context.store.close()

    async def _open(self) -> set[str]:
        return {incident.service for incident in await self.scene.incidents() if not incident.resolved_at}

    async def _stored(self) -> list[Alert]:
        stored: list[Alert] = await self.scene.read(alert_store.firing)
        return stored


def _counted(_: Counter[Any]) -> None:
    """What was healed is of no interest here."""


@pytest.fixture
def playing(empty_store: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], type[Model]]:
    """The model, with Alertmanager's API played, too; it takes whether the receiver may ask it."""

    async def silenced(_: aiohttp.ClientSession, __: Alertmanager) -> Silenced:
        return Silenced({}, {})

    async def unmuted(_: aiohttp.ClientSession, __: Alertmanager, ___: str) -> frozenset[str]:
        return frozenset()

    for room in ("intake.recheck", "upstream.reconcile"):
        monkeypatch.setattr(f"deploywatch.receiver.{room}.look", lambda *about: Model.playing.look(*about))  # noqa: PLW0108 - another one plays each time
    monkeypatch.setattr("deploywatch.receiver.suppression.silences.ask", silenced)
    monkeypatch.setattr("deploywatch.receiver.upstream.reconcile.muted", unmuted)

    def model(upstream: bool) -> type[Model]:
        Model.upstream, Model.empty, Model.templates = upstream, empty_store, templates
        return Model

    return model


@pytest.mark.parametrize("upstream", [True, False])
def test_after_quiet_the_open_incidents_are_what_fires(playing: Callable[[bool], type[Model]], upstream: bool) -> None:
    run_state_machine_as_test(
        playing(upstream),
        settings=how(
            max_examples=max(1, STEPS // 2 // _OF_ONE),
            stateful_step_count=_OF_ONE,
            deadline=None,
            derandomize="MODEL_STEPS" not in os.environ,
            phases=_PHASES,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_an_episode_that_alertmanager_keeps_to_itself_is_known_in_time(playing: Callable[[bool], type[Model]]) -> None:
    """Its notification log has the one before as firing, which was silenced when it ended."""
    name = ("search", "HighLatency")
    model = playing(True)()
    model.start()
    events: list[tuple[Any, ...]] = [
        ("begin", name),
        ("mute", name),
        ("end", name),
        ("wait", 15),
        ("unmute", name),
        ("begin", name),
        ("wait", 5),
    ]
    for event in events:
        model.step(event)
    model.teardown()
