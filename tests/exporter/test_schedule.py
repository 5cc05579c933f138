"""When probes run, seen by moving the clock."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from deploywatch.clock import ManualClock
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed, Reason, Result
from deploywatch.exporter.schedule import GoneError, Scheduler
from deploywatch.exporter.settings.per_server import PerServer
from deploywatch.exporter.target_run import Slots
from deploywatch.exporter.targets import Key, Target

SETTINGS = RedisSettings.model_validate({"kind": "redis", "url": "redis://nowhere"})


@dataclass
class Told:
    """A probe that notes when it begins, and waits until it is let go."""

    clock: ManualClock
    begun: list[float] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most: int = 0

    async def measure(self, measurement: Measurement) -> None:
        self.begun.append(self.clock.monotonic())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.free.wait()
        finally:
            self.at_once -= 1


def target(name: str, probe: Told, *, interval: float = 30, limit: float = 10) -> Target:
    return Target(Key("shop", "test", name), "redis", "immediate", interval, limit, SETTINGS, probe)


class Stage:
    """A scheduler on a clock that stands still, with what it reported."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.results: list[tuple[str, Result]] = []
        self.scheduler = Scheduler(clock=self.clock, report=self._note)

    def told(self, *, free: bool = True) -> Told:
        """A new probe; one that is not free hangs."""
        probe = Told(self.clock)
        if free:
            probe.free.set()
        return probe

    def _note(self, target: Target, result: Result) -> None:
        self.results.append((target.key.probe, result))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage whose scheduler is stopped at the end."""
    found = Stage()
    yield found
    await found.scheduler.stop()


async def test_a_target_runs_soon_and_then_at_its_own_times(stage: Stage) -> None:
    probe = stage.told()
    one = target("a", probe)
    stage.scheduler.apply([one], concurrency=10)
    await stage.clock.advance(1)
    assert len(probe.begun) == 1
    assert probe.begun[0] <= 0.01
    await stage.clock.advance(120)
    turns = [(begin - one.fraction * 30) / 30 for begin in probe.begun[1:]]
    assert turns == pytest.approx([round(turns[0]) + n for n in range(len(turns))])
    assert 15 <= probe.begun[1] - probe.begun[0] <= 45


async def test_starts_are_spread_over_the_interval_the_same_way_each_time(stage: Stage) -> None:
    probes = {str(n): stage.told() for n in range(60)}
    stage.scheduler.apply([target(name, probe) for name, probe in probes.items()], concurrency=100)
    await stage.clock.advance(90)
    regular = [probe.begun[-1] % 30 for probe in probes.values()]
    thirds = [sum(third * 10 <= begin < third * 10 + 10 for begin in regular) for third in range(3)]
    assert min(thirds) >= 8
    assert [target(name, probe).fraction for name, probe in probes.items()] == [
        target(name, stage.told()).fraction for name in probes
    ]


async def test_a_target_that_hangs_delays_no_other_and_runs_once_at_a_time(stage: Stage) -> None:
    hanging, good = stage.told(free=False), stage.told()
    stage.scheduler.apply([target("hanging", hanging), target("good", good)], concurrency=10)
    await stage.clock.advance(300)
    assert hanging.most == 1
    assert len(hanging.begun) == 1
    assert len(good.begun) >= 10


async def test_times_that_pass_during_a_run_are_missed_and_not_caught_up_with(stage: Stage) -> None:
    slow = stage.told(free=False)
    stage.scheduler.apply([target("slow", slow)], concurrency=10)
    await stage.clock.advance(301)
    slow.free.set()
    await stage.clock.advance(60)
    assert 2 <= len(slow.begun) <= 4
    assert stage.scheduler.missed >= 8


async def test_no_more_run_at_once_than_the_config_allows(stage: Stage) -> None:
    shared = stage.told(free=False)
    stage.scheduler.apply([target(str(n), shared) for n in range(10)], concurrency=3)
    await stage.clock.advance(1)
    assert shared.most == 3
    shared.free.set()
    await stage.clock.advance(1)
    assert len(stage.results) == 10


class Slow(Told):
    """A probe that takes all its time, until it is let go."""

    async def measure(self, measurement: Measurement) -> None:
        self.begun.append(self.clock.monotonic())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if not self.free.is_set():
            await self.clock.sleep(10)
        self.at_once -= 1


async def test_targets_that_hang_never_take_more_than_half_of_the_room(stage: Stage) -> None:
    hanging, good = Slow(stage.clock), stage.told()
    named = [target(f"hanging {n}", hanging, interval=10) for n in range(20)]
    named += [target(f"good {n}", good, interval=10) for n in range(20)]
    stage.scheduler.apply(named, concurrency=8)
    await stage.clock.advance(60)
    before, hanging.most = len(good.begun), 0
    await stage.clock.advance(100)
    assert hanging.most == 4
    assert len(good.begun) - before == 200


def at(server: str, name: str, probe: Told) -> Target:
    """A target at a server."""
    return dataclasses.replace(target(name, probe), server=server)


async def test_no_server_sees_more_runs_at_once_than_its_bound_from_the_start_on(stage: Stage) -> None:
    probe, other = stage.told(free=False), stage.told(free=False)
    targets = [at("db:5432", f"d{n}", probe) for n in range(54)] + [at("other:5432", "o", other)]
    stage.scheduler.apply(targets, concurrency=2000, per_server=PerServer(databases=10))
    await stage.clock.advance(20)
    assert probe.most <= 10
    assert other.most == 1
    probe.free.set()
    await stage.clock.advance(60)
    assert len(probe.begun) >= 54
    assert probe.most <= 10


async def test_what_is_asked_for_leaves_the_schedule_its_places_at_a_server_and_nothing_behind() -> None:
    slots, scheduled = Slots(10, PerServer(databases=4)), at("db:5432", "d", Told(ManualClock()))
    for number in range(100):
        async with slots.at(f"made-up-{number}:1", "http"):
            pass
    assert slots.servers == 0

    async def ask(held: asyncio.Event) -> None:
        async with slots.at("db:5432", "redis"):
            held.set()
            await asyncio.Event().wait()

    events = [asyncio.Event() for _ in range(9)]
    asked = [asyncio.create_task(ask(event)) for event in events]
    await asyncio.sleep(0)
    # However many wait for one on request, who comes by the schedule has one at once.
    async with asyncio.timeout(60), slots.one(scheduled, hung=False), slots.one(scheduled, hung=False):
        assert sum(event.is_set() for event in events) == 2
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_a_server_that_hangs_keeps_nobody_else_waiting(stage: Stage) -> None:
    hanging, good = stage.told(free=False), stage.told()
    targets = [at("hung:1", f"h{n}", hanging) for n in range(30)] + [at("good:1", f"g{n}", good) for n in range(30)]
    stage.scheduler.apply(targets, concurrency=2000)
    await stage.clock.advance(2)
    assert len(good.begun) == 30


async def test_a_target_that_hangs_no_more_is_as_any_other(stage: Stage) -> None:
    slow = Slow(stage.clock)
    stage.scheduler.apply([target(str(n), slow, interval=10) for n in range(8)], concurrency=8)
    await stage.clock.advance(50)
    slow.free.set()
    await stage.clock.advance(30)
    slow.free.clear()
    slow.most = 0
    await stage.clock.advance(10)
    assert slow.most > 4


async def test_a_start_that_waits_for_room_is_measured(stage: Stage) -> None:
    shared = stage.told(free=False)
    stage.scheduler.apply([target(str(n), shared) for n in range(2)], concurrency=1)
    await stage.clock.advance(5)
    assert stage.scheduler.running == 1
    assert 4.9 < stage.scheduler.overdue() <= 5
    shared.free.set()
    await stage.clock.advance(0)
    assert stage.scheduler.overdue() == 0
    assert 4.9 < stage.scheduler.start_lag.longest <= 5
    assert sum(stage.scheduler.start_lag.counts) == 2


async def test_a_schedule_that_is_stuck_shows(stage: Stage) -> None:
    class Stubborn(Told):
        async def measure(self, measurement: Measurement) -> None:
            while not self.free.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.free.wait()

    stubborn = Stubborn(stage.clock)
    stage.scheduler.apply([target("a", stubborn, interval=30)], concurrency=1)
    await stage.clock.advance(330)
    overdue = stage.scheduler.overdue()
    stubborn.free.set()
    # The second run was to begin half an interval to one and a half after the first.
    assert 285 <= overdue <= 315


async def test_jitter_moves_each_run_by_another_part_of_it_and_always_the_same(stage: Stage) -> None:
    probe = stage.told()
    one = dataclasses.replace(target("a", probe, interval=10), jitter=4)
    stage.scheduler.apply([one], concurrency=1)
    await stage.clock.advance(200)
    shifts = [begin - one.fraction * 10 - 10 * number for number, begin in enumerate(probe.begun[1:], 1)]
    start = round((probe.begun[1] - one.fraction * 10 - one.shift(0)) / 10) - 1
    assert [shift - 10 * start for shift in shifts] == pytest.approx([one.shift(n) for n in range(len(shifts))])
    assert 0 <= min(one.shift(n) for n in range(100)) < 1
    assert 3 < max(one.shift(n) for n in range(100)) < 4


async def test_a_probe_that_breaks_is_a_failed_result_and_runs_again(stage: Stage) -> None:
    class Broken(Told):
        async def measure(self, measurement: Measurement) -> None:
            self.begun.append(0)
            raise ZeroDivisionError

    broken = Broken(stage.clock)
    stage.scheduler.apply([target("broken", broken)], concurrency=1)
    await stage.clock.advance(100)
    assert len(broken.begun) >= 3
    assert {result.reason for _, result in stage.results} == {Reason.INTERNAL}
    assert "ZeroDivisionError" in stage.results[0][1].detail


async def test_a_result_that_cannot_be_noted_ends_no_targets_runs(stage: Stage) -> None:
    def broken(target: Target, result: Result) -> None:
        raise RuntimeError("no room")

    scheduler = Scheduler(clock=stage.clock, report=broken)
    probe = stage.told()
    scheduler.apply([target("a", probe)], concurrency=1)
    await stage.clock.advance(100)
    assert len(probe.begun) >= 3
    await scheduler.stop()


async def test_what_was_measured_before_a_failure_is_kept(stage: Stage) -> None:
    class Half(Told):
        async def measure(self, measurement: Measurement) -> None:
            measurement.stage = "second half"
            raise Failed(Reason.VALUE, "only half of it")

    stage.scheduler.apply([target("half", Half(stage.clock))], concurrency=1)
    await stage.clock.advance(1)
    assert (stage.results[0][1].reason, stage.results[0][1].detail) == (Reason.VALUE, "only half of it")


async def test_an_unchanged_target_keeps_its_times_over_a_reload(stage: Stage) -> None:
    kept, gone, new = stage.told(), stage.told(), stage.told()
    stage.scheduler.apply([target("kept", kept), target("gone", gone)], concurrency=5)
    await stage.clock.advance(100)
    before, ended = len(kept.begun), len(gone.begun)
    stage.scheduler.apply([target("kept", stage.told()), target("new", new)], concurrency=5)
    await stage.clock.advance(100)
    assert len(kept.begun) in {before + 3, before + 4}
    assert len(gone.begun) == ended
    assert len(new.begun) >= 3


async def test_a_fresh_run_begins_now(stage: Stage) -> None:
    probe = stage.told()
    one = target("a", probe)
    stage.scheduler.apply([one], concurrency=1)
    await stage.clock.advance(1)
    result = await stage.scheduler.fresh(one.key)
    assert result.started == stage.clock.now()
    assert stage.results[-1] == ("a", result)


async def test_a_fresh_run_waits_for_the_one_in_flight_and_is_shared(stage: Stage) -> None:
    probe = stage.told(free=False)
    one = target("a", probe)
    stage.scheduler.apply([one], concurrency=5)
    await stage.clock.advance(1)
    asked = [asyncio.create_task(stage.scheduler.fresh(one.key)) for _ in range(5)]
    await stage.clock.advance(1)
    assert len(probe.begun) == 1
    probe.free.set()
    results = await asyncio.gather(*asked)
    assert len(probe.begun) == 2
    assert probe.most == 1
    assert all(result is results[0] for result in results)


async def test_who_asks_for_a_target_that_is_not_there_is_told(stage: Stage) -> None:
    probe = stage.told(free=False)
    one = target("a", probe)
    with pytest.raises(GoneError, match="shop/test/a is not probed"):
        await stage.scheduler.fresh(one.key)
    stage.scheduler.apply([one], concurrency=5)
    asked = asyncio.create_task(stage.scheduler.fresh(one.key))
    await stage.clock.advance(1)
    stage.scheduler.apply([], concurrency=5)
    with pytest.raises(GoneError, match="no longer probed"):
        await asked


async def test_stopping_breaks_off_what_is_under_way(stage: Stage) -> None:
    probe = stage.told(free=False)
    stage.scheduler.apply([target("a", probe)], concurrency=5)
    await stage.clock.advance(1)
    assert probe.at_once == 1
    await stage.scheduler.stop()
    assert probe.at_once == 0
