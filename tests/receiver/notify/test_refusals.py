"""A channel that refuses: it is said, another is told, and it is tried again slowly and on reload."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from structlog.testing import capture_logs

from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.messages import DeliveryError, PartlyDeliveredError
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.notify.delivery_results import try_refused_again
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, SECOND, Scene, alert, ended, settings

SLOWLY = timedelta(minutes=15)
QUIET = {"deadlines": {"high": "0s", "critical": "0s"}}


def refused(reason: str = "credentials") -> DeliveryError:
    return DeliveryError(reason, "token_revoked", again=False)


def refuses(scene: Scene, name: str, times: int = 1000) -> None:
    scene.channels[name].failures.extend(refused() for _ in range(times))


async def test_a_refusal_is_an_error_in_log_and_metric_with_its_reason(scene: Scene) -> None:
    registry = CollectorRegistry()
    counters = Counters(registry)
    counters.know(["team"])
    labels = {"channel": "team", "outcome": "failed", "reason": "credentials"}
    assert registry.get_sample_value("deploywatch_deliveries_total", labels) == 0
    finished: list[tuple[Job, Outcome]] = []
    scene.worker.finished = lambda job, outcome: finished.append((job, outcome))
    refuses(scene, "team")
    with capture_logs() as logged:
        await scene.take(alert())
        await scene.drain()
    for job, outcome in finished:
        counters.finished(job, outcome)
    (error,) = [line for line in logged if line["event"] == "a channel refuses a message"]
    assert (error["log_level"], error["channel"], error["reason"]) == ("error", "team", "credentials")
    assert registry.get_sample_value("deploywatch_deliveries_total", labels) == 1


async def test_another_working_channel_is_told_when_the_message_would_reach_nobody(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail", notify={"by_severity": {"high": ["slack"]}}, response=QUIET))
    refuses(scene, "slack")
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["mail"].events == [Event.OPENED]
    assert await scene.lines("fell_back") == [
        "mail is told instead of slack: could not tell slack: credentials: token_revoked"
    ]
    await scene.take(ended(alert()))
    await scene.after(HOUR)
    assert scene.channels["mail"].events == [Event.OPENED, Event.RESOLVED]


async def test_the_next_is_asked_when_the_stand_in_refuses_as_well(make_scene: MakeScene) -> None:
    config = settings("slack", "mail", "pager", notify={"by_severity": {"high": ["slack"]}}, response=QUIET)
    scene = make_scene(config)
    refuses(scene, "slack")
    refuses(scene, "mail")
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["pager"].events == [Event.OPENED]


async def test_nobody_else_is_disturbed_when_another_of_its_channels_tells_it(make_scene: MakeScene) -> None:
    config = settings("slack", "mail", "pager", notify={"by_severity": {"high": ["slack", "mail"]}}, response=QUIET)
    scene = make_scene(config)
    refuses(scene, "slack")
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["mail"].events == [Event.OPENED]
    assert scene.channels["pager"].events == []


async def test_a_channel_that_does_not_tell_of_it_reaches_nobody(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "pager", "mail", notify={"by_severity": {"high": ["slack", "pager"]}}))
    scene.channels["pager"].unwanted.add(Event.OPENED)
    refuses(scene, "slack")
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["mail"].events == [Event.OPENED]


async def test_an_outside_owners_channel_is_nobodys_stand_in(make_scene: MakeScene) -> None:
    contacts = {"provider": {"channels": ["provider"]}}
    config = settings("slack", "provider", notify={"by_severity": {"high": ["slack"]}}, oncall={"contacts": contacts})
    scene = make_scene(config)
    refuses(scene, "slack")
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["provider"].events == []


async def test_it_is_tried_again_slowly_and_arrives_once_it_is_mended(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response=QUIET))
    refuses(scene, "team", times=3)
    await scene.take(alert())
    await scene.drain()
    tries = []
    for _ in range(4):
        await scene.after(SLOWLY - SECOND)
        tries.append(scene.channels["team"].tries)
        await scene.after(SECOND)
        tries.append(scene.channels["team"].tries)
    assert tries == [1, 2, 2, 3, 3, 4, 4, 4]
    assert scene.channels["team"].events == [Event.OPENED]


async def test_a_reload_tries_it_at_once(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response=QUIET))
    refuses(scene, "team", times=1)
    await scene.take(alert())
    await scene.drain()
    await scene.context.store.write(lambda c: try_refused_again(c, scene.clock.now))
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED]


async def test_what_comes_later_does_not_wait_behind_it(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response=QUIET))
    refuses(scene, "team", times=1)
    await scene.take(alert())
    await scene.drain()
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.after(SECOND)
    assert scene.channels["team"].events[0] == Event.WORSENED


async def test_an_opening_is_not_told_after_the_end(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response=QUIET))
    refuses(scene, "team", times=3)
    await scene.take(alert())
    await scene.drain()
    await scene.take(ended(alert()))
    await scene.after(6 * MINUTE)
    assert (await scene.incident()).resolved_at
    await scene.after(HOUR)
    assert Event.OPENED not in scene.channels["team"].events
    assert any("not told of opened any more" in line for line in await scene.lines("not_told"))


async def test_a_refused_recipient_is_tried_by_itself_and_nobody_is_told_twice(scene: Scene) -> None:
    team = scene.channels["team"]
    team.failures.append(PartlyDeliveredError("thread-1", {"bob@example.com": "451 4.7.1 greylisted"}))
    await scene.take(alert())
    await scene.drain()
    assert team.messages == []
    assert await scene.lines("not_told") == [
        "could not tell team (bob@example.com) yet: 451 4.7.1 greylisted; tried again by itself"
    ]
    assert len(await scene.lines("told")) == 1
    await scene.after(SECOND)
    (late,) = team.messages
    assert (late.event, late.recipient, team.references) == (Event.OPENED, "bob@example.com", ["thread-1"])


async def test_a_recipient_that_is_refused_for_good_is_named_and_tried_slowly(scene: Scene) -> None:
    team = scene.channels["team"]
    team.failures.append(PartlyDeliveredError("thread-1", {"bob@example.com": "550 5.1.1 unknown"}))
    team.failures.append(DeliveryError("rejected", "bob@example.com was refused: 550 5.1.1 unknown", again=False))
    await scene.take(alert())
    await scene.after(SECOND)
    await scene.after(SECOND)
    assert any("could not tell team (bob@example.com): rejected" in line for line in await scene.lines("not_told"))
    await scene.after(SLOWLY)
    assert team.messages[-1].recipient == "bob@example.com"


async def test_where_each_recipient_was_refused_for_a_reason_of_its_own_another_channel_is_told(
    make_scene: MakeScene,
) -> None:
    config = settings("mail", "slack", notify={"by_severity": {"high": ["mail"]}}, response=QUIET)
    scene = make_scene(config)
    refused_both = {"bob@example.com": "451 4.7.1 greylisted", "eve@example.com": "550 5.1.1 unknown"}
    scene.channels["mail"].failures.append(PartlyDeliveredError(None, refused_both))
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["slack"].events == [Event.OPENED]
    assert not any(line.startswith("mail: ") for line in await scene.lines("told"))
    await scene.after(SECOND)
    assert {message.recipient for message in scene.channels["mail"].messages} == set(refused_both)


async def test_whom_the_opening_did_not_reach_the_escalation_calls(make_scene: MakeScene) -> None:
    scene = make_scene(settings("mail"))
    scene.channels["mail"].failures.append(
        PartlyDeliveredError(None, {"bob@example.com": "451", "eve@example.com": "550"})
    )
    await scene.take(alert(severity="critical"))
    await scene.drain()
    assert scene.channels["mail"].events[0] is Event.ESCALATED


async def test_of_one_recipient_it_is_said_by_name_that_it_is_not_told_any_more(make_scene: MakeScene) -> None:
    scene = make_scene(settings(response=QUIET))
    team = scene.channels["team"]
    team.failures.append(PartlyDeliveredError("thread-1", {"bob@example.com": "550 5.1.1 unknown"}))
    team.failures.append(DeliveryError("rejected", "550 5.1.1 unknown", again=False))
    await scene.take(alert())
    await scene.after(SECOND)
    await scene.after(SECOND)
    await scene.take(ended(alert()))
    await scene.after(6 * MINUTE)
    await scene.after(HOUR)
    assert (await scene.lines("not_told"))[-1] == (
        "team (bob@example.com) is not told of opened any more: the incident was over before the channel worked again"
    )


@pytest.mark.parametrize("name", ["x" * 100])
async def test_long_names_change_nothing_about_it(make_scene: MakeScene, name: str) -> None:
    scene = make_scene(settings(name, response=QUIET))
    refuses(scene, name, times=1)
    await scene.take(msgspec.structs.replace(alert(), fingerprint="f" * 100))
    await scene.drain()
    keys: list[Any] = await scene.read(lambda c: list(c.execute(select(jobs.c.key)).scalars()))
    assert any(key.startswith("again:") for key in keys)
