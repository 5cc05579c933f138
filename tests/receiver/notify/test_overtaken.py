"""A replica that was paused in the moment of sending tells late what others have overtaken: the truth is told anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from deploywatch.fakes.inbox import Inbox, serving
from deploywatch.receiver.channels import connect
from deploywatch.receiver.incidents import store
from deploywatch.receiver.jobs.claim import LEASE, claim
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.jobs.retry import Outcome, done, failed, retry
from deploywatch.receiver.lifecycle import resolution, response
from deploywatch.receiver.messages import Channel, DeliveryError, Message
from deploywatch.receiver.notify import overtaken
from deploywatch.receiver.notify.queueing import KIND, tell
from deploywatch.receiver.notify.unsent import Unsent, nothing_sent
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import MINUTE, SECOND, RecordedChannel, Scene, alert, settings, until

WARNING = alert("DiskFilling", severity="warning")
DOWN = alert("CheckoutDown", severity="critical")


class Paused:
    """A channel of a replica that is stopped after it looked at its lease for the last time, and before it sends."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.held, self.goes_on = channel, asyncio.Event(), asyncio.Event()
        self.wants, self.find = channel.wants, channel.find

    async def send(self, message: Message, reference: str | None) -> str | None:
        self.held.set()
        await self.goes_on.wait()
        return await self.channel.send(message, reference)


class Replicas:
    """Two on one store and one channel; the first is paused in a sending while the other goes on."""

    def __init__(self, make_scene: MakeScene, config: ReceiverConfig, channel: Channel, name: str = "team") -> None:
        self.first, self.other = make_scene(config, owner="first"), make_scene(config, owner="other")
        self.name, self.channel = name, channel
        for scene in (self.first, self.other):
            scene.context.channels = {name: channel}

    async def do(self, work: Callable[[Connection, Scene], object]) -> None:
        await self.other.context.store.write(lambda connection: work(connection, self.other))

    async def send_late(self, *meanwhile: Callable[[Replicas], Any]) -> None:
        """What is due is in the first one's hands when it is paused; it goes on after `meanwhile`."""
        paused = Paused(self.channel)
        self.first.context.channels = {self.name: paused}  # type: ignore[dict-item] # it has what is asked of it
        at_work = asyncio.create_task(self.first.drain())
        await paused.held.wait()
        await self._until_the_first_only_sends()
        self.other.clock.advance(LEASE + SECOND)
        await self.other.drain()
        for step in meanwhile:
            await step(self)
            await self.other.drain()
        self.first.context.channels = {self.name: self.channel}
        paused.goes_on.set()
        await at_work
        await self.other.after(15 * SECOND)

    async def _until_the_first_only_sends(self) -> None:
        """Whoever is paused ends nothing meanwhile, and leases nothing."""
        others = select(jobs.c.id).where(
            jobs.c.leased_by == "first", jobs.c.state == State.RUNNING, jobs.c.kind != KIND
        )

        async def only_sends() -> bool:
            return not await self.other.read(lambda connection: connection.execute(others).all())

        await until(only_sends)


async def resolved(replicas: Replicas) -> None:
    def write(connection: Connection, scene: Scene) -> None:
        incident = store.get(connection, 1)
        resolution.resolve(connection, scene.context.settings, incident, scene.clock.now, by="ann", why="it is mended")

    await replicas.do(write)


async def worse(replicas: Replicas) -> None:
    await replicas.other.take(DOWN)


async def acknowledged(replicas: Replicas) -> None:
    def write(connection: Connection, scene: Scene) -> None:
        incident = store.get(connection, 1)
        response.acknowledge(connection, scene.context.settings, incident, scene.clock.now, by="ann", note="")

    await replicas.do(write)


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, str]]:
    kept = Inbox()
    async with serving(kept) as served:
        yield kept, served.url


def recorded(make_scene: MakeScene) -> tuple[Replicas, RecordedChannel]:
    channel = RecordedChannel()
    return Replicas(make_scene, settings(), channel), channel


async def test_an_opening_that_comes_after_the_end_is_followed_by_the_end_once_more(make_scene: MakeScene) -> None:
    replicas, channel = recorded(make_scene)
    await replicas.first.take(DOWN)
    await replicas.send_late(resolved)
    assert channel.events == [Event.OPENED, Event.RESOLVED, Event.OPENED, Event.RESOLVED]
    assert channel.messages[-1].title == channel.messages[1].title
    assert "this is how it stands now" in channel.messages[-1].body
    (line,) = await replicas.other.lines("told_late")
    assert line.startswith(
        "team: a message (opened) was sent late, after newer ones, by a receiver that had been paused"
    )


async def test_one_that_comes_after_newer_ones_of_an_open_incident_is_followed_by_how_it_stands(
    make_scene: MakeScene,
) -> None:
    replicas, channel = recorded(make_scene)
    await replicas.first.take(WARNING)
    await replicas.send_late(worse)
    assert channel.events == [Event.OPENED, Event.WORSENED, Event.OPENED, Event.UPDATE]
    assert channel.messages[-1].title.startswith("Still open: ")
    assert "critical" in channel.messages[-1].body


async def test_it_is_counted_with_a_reason_and_told_once(make_scene: MakeScene) -> None:
    replicas, channel = recorded(make_scene)
    reasons = list[str]()
    for scene in (replicas.first, replicas.other):
        scene.worker.finished = lambda _, outcome: reasons.append(outcome.reason)
    await replicas.first.take(DOWN)
    await replicas.send_late(resolved)
    assert reasons.count(overtaken.TOLD_LATE) == 1
    count = len(channel.messages)
    await replicas.other.after(MINUTE)
    assert len(channel.messages) == count


async def test_a_message_that_nothing_newer_has_overtaken_is_followed_by_nothing(make_scene: MakeScene) -> None:
    replicas, channel = recorded(make_scene)
    await replicas.first.take(DOWN)
    await replicas.send_late()
    assert channel.events == [Event.OPENED, Event.OPENED]
    assert await replicas.other.lines("told_late") == []


async def test_what_the_channel_refuses_is_tried_again_as_every_message(make_scene: MakeScene) -> None:
    replicas, channel = recorded(make_scene)
    await replicas.first.take(DOWN)

    async def deaf_from_now_on(_: Replicas) -> None:
        channel.failures.append(DeliveryError("server", "never arrives", again=True, unsure=True))

    await replicas.send_late(resolved, deaf_from_now_on)
    await replicas.other.after(MINUTE)
    assert channel.events == [Event.OPENED, Event.RESOLVED, Event.RESOLVED]


def config_of(kind: str, url: str) -> dict[str, Any]:
    """The channel `team` of one of the kinds on which something stands that messages change."""
    return {
        "pagerduty": {"kind": kind, "routing_key": "a" * 32, "url": url},
        "opsgenie": {"kind": kind, "api_key": "of-no-importance", "url": url},
        "slack": {"kind": kind, "token": "xoxb-1", "channel": "C0123456789", "base_url": f"{url}/api/"},
    }[kind]


async def on(kind: str, make_scene: MakeScene, url: str) -> Replicas:
    config = settings(channels={"team": config_of(kind, url)})
    return Replicas(make_scene, config, connect("team", config.channels["team"]))


def said(kept: Inbox, kind: str) -> list[tuple[str, str]]:
    """What was done to which of the alerts, in order."""
    if kind == "pagerduty":
        return [(item.thread, str(item.raw["event_action"])) for item in kept.of(kind)]
    done_ = [(item.thread, item.title.partition(":")[0]) for item in kept.of(kind)]
    return [(alias, {"create": "trigger", "close": "resolve"}.get(what, what)) for alias, what in done_]


def left_open(kept: Inbox, kind: str) -> list[str]:
    return [alias for alias, what in dict(said(kept, kind)).items() if what != "resolve"]


PAGERS = pytest.mark.parametrize("kind", ["pagerduty", "opsgenie"])


@PAGERS
async def test_a_pager_is_left_with_no_alert_of_what_is_over(
    make_scene: MakeScene, inbox: tuple[Inbox, str], kind: str
) -> None:
    kept, url = inbox
    replicas = await on(kind, make_scene, url)
    await replicas.first.take(WARNING)
    await replicas.first.drain()
    await replicas.first.take(DOWN)
    await replicas.send_late(resolved)
    assert "trigger" in [what for _, what in said(kept, kind)[3:]]  # it came after the end
    assert len(dict(said(kept, kind))) == 2
    assert left_open(kept, kind) == []
    await replicas.channel.close()


@PAGERS
async def test_a_pager_is_left_with_the_alert_of_the_worst_alone(
    make_scene: MakeScene, inbox: tuple[Inbox, str], kind: str
) -> None:
    kept, url = inbox
    replicas = await on(kind, make_scene, url)
    await replicas.first.take(WARNING)
    await replicas.send_late(worse)
    (left,) = left_open(kept, kind)
    assert "-" in left  # the bigger trouble has a name of its own
    await replicas.channel.close()


async def test_an_acknowledgement_that_comes_late_and_counts_no_more_does_not_silence_the_pager(
    make_scene: MakeScene, inbox: tuple[Inbox, str]
) -> None:
    kept, url = inbox
    replicas = await on("pagerduty", make_scene, url)
    await replicas.first.take(WARNING)
    await replicas.first.drain()
    await acknowledged(replicas)

    async def given_back(_: Replicas) -> None:
        def write(connection: Connection, scene: Scene) -> None:
            now, incident = scene.clock.now, store.get(connection, 1)
            store.save(connection, replace(incident, acknowledged_at=None, acknowledged_by=None))
            tell(connection, scene.context.settings, incident, Event.REMINDER, now, once="test")

        await replicas.do(write)

    await replicas.send_late(given_back)
    last, before = said(kept, "pagerduty")[-2:][::-1]
    assert (before[1], last[1]) == ("trigger", "resolve")
    assert before[0] != last[0]
    await replicas.channel.close()


async def test_the_first_message_in_slack_says_at_last_how_it_stands(
    make_scene: MakeScene, inbox: tuple[Inbox, str]
) -> None:
    kept, url = inbox
    replicas = await on("slack", make_scene, url)
    await replicas.first.take(DOWN)
    await replicas.first.drain()
    await acknowledged(replicas)
    await replicas.send_late(resolved)
    first, *_ = kept.of("slack")
    assert "resolved at" in first.text
    await replicas.channel.close()


@pytest.mark.parametrize(
    ("outcome", "may"),
    [
        (None, True),
        (done("sent"), True),
        (nothing_sent("team", Unsent.NOT_WANTED), False),
        (nothing_sent("team", Unsent.OUTDATED), False),
        (retry("timeout", SECOND, reason="timeout", uncertain_attempts=1), True),
        (retry("refused", SECOND, reason="connection", uncertain_attempts=0), False),
        (failed("no such token", reason="credentials"), False),
    ],
)
def test_only_what_may_have_arrived_is_put_right(outcome: Outcome | None, may: bool) -> None:
    assert overtaken.may_have_arrived(outcome) is may


async def test_a_sending_that_was_cut_off_is_looked_at_after_the_channels_timeout(make_scene: MakeScene) -> None:
    replicas, channel = recorded(make_scene)
    scene = replicas.first
    await scene.take(WARNING)
    claimed = await scene.context.store.write(lambda c: claim(c, scene.clock.now, "first", 9))
    (job,) = (job for job in claimed if job.kind == KIND)
    scene.clock.advance(LEASE + SECOND)
    await replicas.other.drain()
    await worse(replicas)
    await replicas.other.drain()
    await scene.context.store.write(lambda c: overtaken.lost(scene.context, c, job, None))
    await replicas.other.after(11 * SECOND)
    assert channel.events == [Event.OPENED, Event.WORSENED]
    await replicas.other.after(SECOND)
    assert channel.events == [Event.OPENED, Event.WORSENED, Event.UPDATE]
