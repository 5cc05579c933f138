"""Telling people: every channel for itself, in order, again when it can help, and not for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select

from deploywatch.receiver.jobs.claim import claim, release_all
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.notify import notify
from deploywatch.receiver.notify.queueing import KIND, tell
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event, Story
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, RecordedChannel, Scene, alert, ended, settings

NO_DEADLINE = {"deadlines": {"high": "0s"}}


def busy(after: timedelta | None = None) -> DeliveryError:
    return DeliveryError("server", "try later", again=True, after=after)


async def test_every_channel_gets_the_message(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail", "pager"))
    await scene.take(alert())
    await scene.drain()
    assert [channel.events for channel in scene.channels.values()] == [[Event.OPENED]] * 3


async def test_channels_told_together_share_the_words_but_not_the_messages_name(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(settings("slack", "mail", "pager"))
    rendered: list[Story] = []
    render = Templates.render

    def counted(templates: Templates, story: Story) -> Message:
        rendered.append(story)
        return render(templates, story)

    monkeypatch.setattr(Templates, "render", counted)
    await scene.take(alert())
    await scene.drain()
    (slack,), (mail,), (pager,) = (channel.messages for channel in scene.channels.values())
    assert [story.event for story in rendered] == [Event.OPENED]
    assert slack.body == mail.body == pager.body
    assert len({slack.id, mail.id, pager.id}) == 3
    assert not scene.context.composing


async def test_the_alert_chooses_its_channels_and_unknown_ones_are_left_out(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail", "pager"))
    await scene.take(alert(annotations={"channels": "mail, carrier-pigeon ,pager"}))
    await scene.drain()
    assert [name for name, channel in scene.channels.items() if channel.messages] == ["mail", "pager"]
    assert await scene.lines("not_told") == ["HighErrorRate names channels that this receiver lacks: 'carrier-pigeon'"]


async def test_a_channel_that_fails_neither_stops_nor_delays_the_others(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail"))
    scene.channels["slack"].failures.extend([busy(), busy()])
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["mail"].events == [Event.OPENED]
    assert scene.channels["slack"].events == []


async def test_trouble_that_may_pass_is_tried_again_later_each_time(scene: Scene) -> None:
    team = scene.channels["team"]
    team.failures.extend([busy()] * 3)
    await scene.take(alert())
    tried = []
    for _ in range(9):
        await scene.drain()
        tried.append(team.tries)
        scene.clock.advance(SECOND)
    assert tried == [1, 2, 2, 3, 3, 3, 3, 4, 4]
    assert team.events == [Event.OPENED]


async def test_the_time_that_the_other_side_asks_for_is_kept(scene: Scene) -> None:
    scene.channels["team"].failures.append(busy(after=MINUTE))
    await scene.take(alert())
    await scene.drain()
    await scene.after(59 * SECOND)
    assert scene.channels["team"].tries == 1
    await scene.after(SECOND)
    assert scene.channels["team"].events == [Event.OPENED]


async def test_a_message_that_often_missed_its_turn_is_not_held_back_for_that(scene: Scene) -> None:
    scene.channels["team"].failures.extend([busy(after=2 * SECOND)] * 9)
    await scene.take(alert())
    for _ in range(10):
        await scene.after(2 * SECOND)
    assert scene.channels["team"].events == [Event.OPENED]


async def test_after_the_configured_time_it_is_given_up_with_a_line(make_scene: MakeScene) -> None:
    scene = make_scene(settings(notify={"give_up_after": "1h"}, response=NO_DEADLINE))
    scene.channels["team"].failures.extend([busy()] * 1000)
    await scene.take(alert())
    for _ in range(13):
        await scene.after(5 * MINUTE)
    assert await scene.lines("not_told") == ["could not tell team: server: try later"]
    tries = scene.channels["team"].tries
    await scene.after(HOUR)
    assert scene.channels["team"].tries == tries


async def test_what_trying_again_cannot_help_is_given_up_at_once(scene: Scene) -> None:
    scene.channels["team"].failures.append(DeliveryError("credentials", "no such token", again=False))
    await scene.take(alert())
    await scene.drain()
    assert await scene.lines("not_told") == ["could not tell team: credentials: no such token"]
    assert scene.channels["team"].tries == 1


async def test_a_channel_that_breaks_in_a_way_of_its_own_is_given_up_in_time_too(make_scene: MakeScene) -> None:
    scene = make_scene(settings(notify={"give_up_after": "1m"}))
    scene.channels["team"].failures.extend([RuntimeError("a bug")] * 100)
    await scene.take(alert())
    for _ in range(10):
        await scene.after(MINUTE)
    assert await scene.lines("not_told") == ["could not tell team: internal: RuntimeError"]


async def test_a_channel_that_is_gone_from_the_config_is_given_up_with_a_line(scene: Scene) -> None:
    await scene.take(alert())
    scene.context.channels = {}
    await scene.drain()
    assert await scene.lines("not_told") == ["team is no longer configured"]


async def test_messages_stay_in_order_while_the_first_is_tried_again(scene: Scene) -> None:
    scene.channels["team"].failures.append(busy(after=10 * MINUTE))
    await scene.take(alert())
    await scene.drain()
    await scene.take(alert("ServiceDown", severity="critical"))
    await scene.after(5 * MINUTE)
    assert scene.channels["team"].events == []
    await scene.after(5 * MINUTE)
    assert scene.channels["team"].events[:2] == [Event.OPENED, Event.WORSENED]


async def test_incidents_do_not_wait_for_each_other(scene: Scene) -> None:
    scene.channels["team"].failures.append(busy(after=HOUR))
    await scene.take(alert())
    await scene.drain()
    await scene.take(alert(service="search"))
    await scene.drain()
    assert [message.incident.service for message in scene.channels["team"].messages] == ["search"]


async def test_the_first_reference_comes_back_with_every_later_message(scene: Scene) -> None:
    fired = alert()
    await scene.take(fired)
    await scene.drain()
    await scene.take(ended(fired))
    await scene.after(HOUR)
    assert scene.channels["team"].references == [None, "thread-1"]
    assert len({message.dedup_key for message in scene.channels["team"].messages}) == 1


async def _die_while_sending(scene: Scene, *, arrived: bool = True) -> None:
    """What is due is sent, and the process is gone before that is noted."""
    await scene.context.store.write(lambda c: release_all(c, scene.clock.now))
    found = await scene.context.store.write(lambda c: claim(c, scene.clock.now, "one that dies", 99))
    for job in found:
        if job.kind == KIND:
            channel, dying = scene.channels[job.payload["channel"]], RecordedChannel()
            context = replace(scene.context, channels={job.payload["channel"]: dying})
            context.started_at = scene.context.started_at
            await notify.handle(context, job)
            channel.messages.extend(dying.messages if arrived else [])
    await scene.context.store.write(lambda c: release_all(c, scene.clock.now))
    scene.context.started_at = scene.clock.now


async def test_a_message_that_was_sent_but_not_noted_is_sent_again_under_the_same_name(scene: Scene) -> None:
    await scene.take(alert())
    await _die_while_sending(scene)
    await scene.after(9 * SECOND)
    assert len(scene.channels["team"].messages) == 1, "it waits until the receiver has stood for a while"
    await scene.after(SECOND)
    assert len({message.id for message in scene.channels["team"].messages}) == 1
    assert scene.channels["team"].events == [Event.OPENED] * 2
    assert await scene.lines("told") == ["team: HighErrorRate (shop in production)"]


async def test_a_receiver_that_dies_again_and_again_sends_nothing_again_and_again(scene: Scene) -> None:
    await scene.take(alert())
    for _ in range(20):
        await _die_while_sending(scene)
        scene.clock.advance(SECOND)
    assert len(scene.channels["team"].messages) == 1
    await scene.after(10 * SECOND)
    assert len(scene.channels["team"].messages) == 2


async def test_a_channel_that_can_be_asked_is_asked_and_told_only_what_did_not_arrive(scene: Scene) -> None:
    team = scene.channels["team"]
    team.can_be_asked = True
    await scene.take(alert())
    await _die_while_sending(scene)
    await scene.drain()
    assert team.events == [Event.OPENED]
    assert await scene.lines("told") == ["team: HighErrorRate (shop in production); it had arrived"]
    await scene.take(alert(service="search"))
    await _die_while_sending(scene, arrived=False)
    await scene.drain()
    assert [message.incident.service for message in team.messages] == ["shop", "search"]


async def test_after_two_sendings_in_doubt_the_stand_in_is_told_and_the_timeline_says_that_nobody_knows(
    make_scene: MakeScene,
) -> None:
    notify_ = {"by_severity": {"high": ["team"]}, "fallback": {"team": "mail"}}
    scene = make_scene(settings("team", "mail", notify=notify_, response=NO_DEADLINE))
    await scene.take(alert())
    await _die_while_sending(scene)
    scene.context.started_at -= MINUTE
    await _die_while_sending(scene)
    await scene.after(HOUR)
    assert scene.channels["team"].events == [Event.OPENED] * 2
    assert scene.channels["mail"].events == [Event.OPENED]
    (line,) = await scene.lines("unknown_whether_told")
    assert line == "whether team was told is unknown: the receiver stopped each of 2 times"
    assert len(await scene.lines("fell_back")) == 1


async def test_without_a_stand_in_a_third_comes_rather_than_none(scene: Scene) -> None:
    await scene.take(alert())
    await _die_while_sending(scene, arrived=False)
    scene.context.started_at -= MINUTE
    await _die_while_sending(scene, arrived=False)
    await scene.after(59 * SECOND)
    assert scene.channels["team"].events == []
    await scene.after(SECOND)
    assert scene.channels["team"].events == [Event.OPENED]


async def test_a_refusal_leaves_no_doubt_and_no_answer_does(scene: Scene) -> None:
    team = scene.channels["team"]
    team.can_be_asked = True
    team.failures.append(busy())
    await scene.take(alert())
    await scene.drain()
    assert (
        await scene.read(
            lambda c: c.execute(select(jobs.c.uncertain_attempts).where(jobs.c.kind == "deliver")).scalar()
        )
        == 0
    )
    team.failures.append(DeliveryError("timeout", "no answer within 10 s", again=True, unsure=True))
    await scene.after(SECOND)
    assert (
        await scene.read(
            lambda c: c.execute(select(jobs.c.uncertain_attempts).where(jobs.c.kind == "deliver")).scalar()
        )
        == 1
    )
    await scene.after(MINUTE)
    assert team.events == [Event.OPENED]


async def test_a_channel_that_cannot_be_asked_just_now_is_asked_later_and_not_for_ever(scene: Scene) -> None:
    team = scene.channels["team"]
    team.deaf = busy()
    await scene.take(alert())
    await _die_while_sending(scene)
    for _ in range(4):
        await scene.after(MINUTE)
    assert team.events == [Event.OPENED]
    for _ in range(4):
        await scene.after(MINUTE)
    assert team.events == [Event.OPENED] * 2


async def test_the_same_event_is_queued_once_a_channel(scene: Scene) -> None:
    await scene.take(alert())
    incident = await scene.incident()
    for once in ("", "", "again"):
        escalated = partial(
            tell, settings=scene.context.settings, incident=incident, event=Event.ESCALATED, now=NOON, once=once
        )
        await scene.context.store.write(escalated)
    await scene.drain()
    assert scene.channels["team"].events == [Event.OPENED, Event.ESCALATED, Event.ESCALATED]


async def test_what_a_channel_does_not_want_is_neither_sent_nor_noted_as_told(scene: Scene) -> None:
    scene.channels["team"].unwanted.add(Event.OPENED)
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["team"].tries == 0
    assert await scene.lines("told") == []


async def test_a_channel_that_gives_up_is_stood_in_for(make_scene: MakeScene) -> None:
    scene = make_scene(
        settings("team", "mail", notify={"by_severity": {"high": ["team"]}, "fallback": {"team": "mail"}})
    )
    scene.channels["team"].failures.append(DeliveryError("credentials", "no such token", again=False))
    await scene.take(alert())
    await scene.drain()
    assert scene.channels["mail"].events == [Event.OPENED]
    (line,) = await scene.lines("fell_back")
    assert line.startswith("mail is told instead of team: could not tell team: credentials")


async def test_a_channel_that_is_away_for_long_is_stood_in_for_once_and_still_tried(make_scene: MakeScene) -> None:
    notify = {"by_severity": {"high": ["team"]}, "fallback": {"team": "mail"}}
    scene = make_scene(settings("team", "mail", notify=notify, response=NO_DEADLINE))
    scene.channels["team"].failures.extend([busy()] * 14)
    await scene.take(alert())
    for _ in range(20):
        await scene.after(5 * MINUTE)
    assert scene.channels["mail"].events == [Event.OPENED]
    assert scene.channels["team"].events == [Event.OPENED]
    assert len(await scene.lines("fell_back")) == 1


async def test_people_hear_of_the_deployment_before_the_incident(scene: Scene) -> None:
    await scene.deployed("1.2.2", ago=30 * HOUR)
    await scene.deployed("1.2.3", ago=MINUTE)
    await scene.take(alert())
    await scene.drain()
    (message,) = scene.channels["team"].messages
    assert "Deployed: 1.2.3 (before: 1.2.2), 1m before the incident; succeeded\n" in message.body


async def test_a_deployment_of_two_days_ago_is_nothing_to_tell(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=48 * HOUR)
    await scene.take(alert())
    await scene.drain()
    assert "Deployed" not in scene.channels["team"].messages[0].body
