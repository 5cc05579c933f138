"""What follows from a verdict: an incident, a rollback with its brakes, the numbers told; and who ends a stage."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from deploywatch.receiver import retention
from deploywatch.receiver.deployments import ledger, stages
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.deployments.stages import StageState
from deploywatch.receiver.story import Event
from deploywatch.verdict.values import Answer
from tests.receiver.conftest import MakeScene
from tests.receiver.verification.conftest import Past, Watch, begin, configured

TARGET = {"command": ["/bin/true", "{to_version}"], "verify": {"url": "http://127.0.0.1:1/health", "within": "11s"}}
AUTO: dict[str, Any] = {"rollback": {"mode": "auto", "targets": [TARGET]}}


async def test_a_bad_verdict_opens_an_incident_and_rolls_back_while_the_deployment_runs(watch: Watch) -> None:
    watched = await watch("bad", **AUTO)
    await watched.on(2)
    scene = watched.scene
    incident = await scene.incident()
    assert (incident.severity, incident.type) == ("critical", "deployment_failure")
    assert "was judged bad in stage canary-10" in incident.title
    assert "canary failed" in incident.title
    (rolled_back,) = await scene.rollbacks()
    assert (rolled_back["from_version"], rolled_back["to_version"]) == ("1.2.4", "1.2.3")
    told = {message.event: f"{message.title}\n{message.body}" for message in scene.channels["team"].messages}
    assert "canary failed" in told[Event.OPENED]
    assert "canary failed" in told[Event.ROLLBACK_STARTED]
    assert "proven, wrong once in 100" in told[Event.ROLLBACK_STARTED]


async def test_the_brakes_hold_for_a_verdict_as_for_an_alert(watch: Watch) -> None:
    watched = await watch("bad", rollback={"targets": [TARGET]})
    await watched.on(2)
    assert await watched.scene.rollbacks() == []
    (line,) = await watched.scene.lines("rollback_dry_run")
    assert "would roll back bad in production from 1.2.4 to 1.2.3" in line


async def test_a_verdict_needs_no_second_issue_because_it_is_proven(watch: Watch) -> None:
    watched = await watch("bad", rollback={"mode": "auto", "decide": {"issues": 2}, "targets": [TARGET]})
    await watched.on(2)
    assert len(await watched.scene.rollbacks()) == 1


async def test_where_only_alerts_may_ask_a_verdict_tells_people_and_rolls_back_nothing(watch: Watch) -> None:
    watched = await watch("bad", rollback={"mode": "auto", "on": ["alerts"], "targets": [TARGET]})
    await watched.on(2)
    assert await watched.scene.rollbacks() == []
    assert any("rollback.on does not name verdict" in line for line in await watched.scene.lines("rollback_refused"))
    assert watched.scene.channels["team"].messages


async def test_a_hold_and_an_error_roll_back_nothing(watch: Watch) -> None:
    for service in ("both-bad", "nothing"):
        watched = await watch(service, **AUTO)
        await watched.on(12)
        assert await watched.scene.rollbacks() == []


async def test_what_was_rolled_back_resolves_the_verdicts_alert(watch: Watch) -> None:
    watched = await watch("bad", rollback={"mode": "dry-run", "targets": [TARGET]})
    await watched.on(2)
    assert (await watched.scene.incident()).quiet_since is None
    await watched.scene.context.store.write(
        lambda c: ledger.undone(c, watched.deployment.id, "1.2.3", watched.scene.clock.now, watched.scene.clock.now)
    )
    await watched.on(1)
    assert (await watched.scene.incident()).quiet_since is not None


async def test_a_rollback_by_hand_ends_the_stage_and_judges_nothing_any_more(watch: Watch) -> None:
    watched = await watch("late-bad", **AUTO)
    await watched.on(3)
    now = watched.scene.clock.now
    await watched.scene.context.store.write(lambda c: ledger.undone(c, watched.deployment.id, "1.2.3", now, now))
    await watched.on(7)
    assert (await watched.now()).state is StageState.ENDED
    assert await watched.scene.incidents() == []


async def test_another_version_that_is_deployed_ends_the_stage_of_the_one_before(watch: Watch) -> None:
    watched = await watch("late-bad", **AUTO)
    await watched.on(3)
    now = watched.scene.clock.now
    await watched.scene.context.store.write(
        lambda c: ledger.start(c, service="late-bad", environment="production", version="1.2.5", started_at=now)
    )
    await watched.on(7)
    assert (await watched.now()).state is StageState.ENDED
    assert (await watched.ledger()).verdict is None
    assert await watched.scene.rollbacks() == []


async def test_a_pipelines_success_does_not_end_the_watch_before_the_verdict(watch: Watch) -> None:
    watched = await watch("late-bad", stage="full")
    await watched.on(1)
    finish = watched.scene.clock.now
    await watched.scene.context.store.write(lambda c: ledger.finish(c, watched.deployment.id, Status.SUCCEEDED, finish))
    await watched.on(11)
    stage = await watched.now()
    assert stage.answer in (Answer.HOLD, Answer.ROLL_BACK)
    assert stage.state is not StageState.PROMOTED


async def test_the_last_stage_that_is_promoted_makes_the_deployment_well(watch: Watch) -> None:
    watched = await watch("well", stage="full")
    await watched.on(12)
    assert (await watched.verdict()).answer is Answer.PROMOTE
    assert (await watched.ledger()).verdict == "promote"
    now = watched.scene.clock.now
    await watched.scene.context.store.write(lambda c: ledger.finish(c, watched.deployment.id, Status.SUCCEEDED, now))
    await watched.on(1)
    assert (await watched.now()).state is StageState.PROMOTED


async def test_the_next_stage_keeps_what_the_one_before_was_judged(watch: Watch, past: Past) -> None:
    watched = await watch("well")
    await watched.on(12)
    full = past.plan.stage("full")
    assert full is not None
    values = {"service": "well", "environment": "production", "version": "1.2.4"}
    now = watched.scene.clock.now
    await watched.scene.context.store.write(
        lambda c: stages.begin(c, watched.deployment.id, past.plan.for_stage(full, values), now)
    )
    assert (await watched.now()).state is StageState.PROMOTED


async def test_another_receiver_that_takes_over_mid_stage_comes_to_the_same_verdicts(
    make_scene: MakeScene, past: Past
) -> None:
    """A restart, however hard: the new one knows only what is stored."""
    first = make_scene(configured(past), owner="first")
    watched = await begin(first, past, "late-bad")
    await watched.on(5)
    second = make_scene(configured(past), owner="second")
    watched.scene = second
    second.clock.advance(timedelta(minutes=1, seconds=7))  # nobody watched meanwhile
    await watched.on(4)
    found = await watched.verdicts()
    assert found[-1].answer is Answer.ROLL_BACK
    assert [one.look for one in found] == list(range(1, len(found) + 1))
    counts = [look.counts["error_ratio > 0.5%"].requests for look in await watched.looks()]
    assert counts[:8] == [400] * 8


@pytest.mark.parametrize("service", ["bad"])
async def test_two_replicas_take_each_look_once_and_roll_back_once(
    make_scene: MakeScene, past: Past, service: str
) -> None:
    one, other = (make_scene(configured(past, **AUTO), owner=name) for name in ("one", "other"))
    watched = await begin(one, past, service)
    for _ in range(8):
        one.clock.advance(timedelta(seconds=15))
        await asyncio.gather(one.drain(), other.drain())
    numbers = [look.number for look in await watched.looks()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [verdict.answer for verdict in await watched.verdicts()].count(Answer.ROLL_BACK) == 1
    assert len(await one.rollbacks()) == 1
    assert len(await one.incidents()) == 1


async def test_an_error_that_outlasts_the_stage_is_told_and_what_mends_it_ends_that(watch: Watch) -> None:
    watched = await watch("well")
    context = watched.scene.context
    settings = context.settings
    assert settings.prometheus is not None
    context.settings = settings.model_copy(
        update={"prometheus": settings.prometheus.model_validate({"url": "http://127.0.0.1:1"})}
    )
    await watched.on(9)
    assert await watched.scene.incidents() == []
    await watched.on(3)
    incident = await watched.scene.incident()
    assert incident.type == "deployment_held"
    assert "did not answer" in incident.title
    context.settings = settings
    await watched.on(3)
    assert (await watched.verdict()).answer is Answer.PROMOTE
    assert (await watched.scene.incident()).quiet_since is not None


async def test_old_looks_and_verdicts_are_forgotten_but_for_the_one_that_decided(watch: Watch) -> None:
    kept = {"keep_deliveries": "1h", "keep_incidents": "30d"}
    watched = await watch("bad", rollback={"targets": [TARGET]}, **kept)
    await watched.on(2)
    looked, judged = len(await watched.looks()), await watched.verdicts()
    assert len(judged) > 1
    watched.scene.clock.advance(timedelta(days=2))
    await retention.prune(watched.scene.context)
    assert [one.id for one in await watched.verdicts()] == [judged[-1].id]
    assert len(await watched.looks()) == looked
    watched.scene.clock.advance(timedelta(days=30))
    await retention.prune(watched.scene.context)
    assert await watched.looks() == []
    assert (await watched.verdict()).answer is Answer.ROLL_BACK
