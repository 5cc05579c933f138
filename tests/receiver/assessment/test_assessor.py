"""Deployments assessed from what a real Prometheus has recorded: again and again, whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from deploywatch.conventions import ReceiverMetric
from deploywatch.receiver.assessment import assessor
from deploywatch.receiver.assessment.learned import hour_of_week
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import assessments, ledger
from deploywatch.receiver.deployments.deployment import BAD, Status
from deploywatch.receiver.jobs.claim import claim
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.store import counters
from tests.receiver.assessment.conftest import BEGINS, Past, begun, configured, every, ledgered, newest, on
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, Scene

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def scene(make_scene: MakeScene, recorded: Past) -> Scene:
    """A receiver that assesses by the enterprise plan."""
    return make_scene(configured(recorded))


def away(context: Context) -> Callable[[], None]:
    """Prometheus is away, until what comes back is called."""
    there = context.settings
    context.settings = there.model_copy(update={"prometheus": there.prometheus.model_validate({"url": NOWHERE})})  # type: ignore[union-attr]

    def back() -> None:
        context.settings = there

    return back


async def test_a_healthy_deployment_is_assessed_every_30_s_with_its_score_impact_and_confidence(scene: Scene) -> None:
    deployment = await begun(scene, "well")
    await on(scene, 6)
    everything = await every(scene, deployment)
    assert [one.number for one in everything] == list(range(1, 13))
    assert {(one.phase, one.status, one.next_seconds) for one in everything} == {("pre_deployment", "healthy", 30)}
    last = everything[-1]
    assert (last.score, last.coverage, last.impact, last.impact_estimated) == (1, 1, 0.5, False)
    assert last.confidence == 1
    assert everything[0].confidence < 0.3
    signals = {signal["name"]: signal for signal in last.details["signals"]}
    assert signals["error_ratio"]["value"] == 0.001
    assert signals["error_ratio"]["samples"] >= 11
    assert last.details["recommendations"] == []
    # What nobody measures is said all the same.
    assert "security: the policy gives it a weight, and no signal" in last.details["unmeasured"]
    assert any("at this hour of the week" in text for text in last.details["unmeasured"])


async def test_a_sick_one_is_critical_looked_at_twice_as_often_and_says_what_to_do_where(scene: Scene) -> None:
    deployment = await begun(scene, "sick")
    await on(scene, 3)
    last = await newest(scene, deployment)
    assert (last.status, last.impact, last.next_seconds) == ("critical", 4, 15)
    kinds = {kind["kind"]: kind["status"] for kind in last.details["kinds"]}
    assert (kinds["application"], kinds["infrastructure"], kinds["business"]) == ("critical", "warning", "healthy")
    anomalies = [(one["kind"], one["name"], one["degree"]) for one in last.details["anomalies"]]
    assert anomalies == [("statistical", "zscore(error_ratio)", "high"), ("pattern", "trend(memory)", "medium")]
    first, second, third = last.details["recommendations"][:3]
    assert first == {
        "signal": "error_ratio",
        "text": "error_ratio is critical (error_ratio > 5%), now 7.2 %: roll back if it began with this version",
        "runbook": "https://runbooks.enterprise.example.com/enterprise.DeploymentFailure.md",
    }
    assert (second["signal"], third["signal"]) == ("cpu", "memory")
    assert "now 75 %" in second["text"]
    assert "within its limits, and not as usual (trend(memory) > 0.9)" in third["text"]
    # Only the critical one agrees, half of the application's weight, and 7 of 10 samples are there.
    assert last.confidence == pytest.approx(17.5 / 85 * 0.7, abs=0.03)


@pytest.mark.parametrize("service", ["bare", "half"])
async def test_little_or_no_data_is_unknown_and_never_healthy(scene: Scene, service: str) -> None:
    deployment = await begun(scene, service)
    await on(scene, 2)
    last = await newest(scene, deployment)
    assert (last.status, last.score) == ("unknown", None)
    assert last.confidence == 0
    assert "cpu: no value" in last.details["unmeasured"]
    if service == "bare":
        assert last.impact is None
        assert "business impact: no value" in last.details["unmeasured"]
    else:
        assert last.impact_estimated


async def test_what_is_no_number_is_not_measured_and_said(scene: Scene) -> None:
    deployment = await begun(scene, "nan")
    await on(scene, 1)
    last = await newest(scene, deployment)
    signals = {signal["name"]: (signal["status"], signal["value"]) for signal in last.details["signals"]}
    assert signals["cpu"] == ("unknown", None)
    assert signals["disk"][0] == "unknown"
    assert last.impact is None
    unmeasured = last.details["unmeasured"]
    assert "cpu: a value is no number" in unmeasured
    assert "disk: its status is 0.7, and must be 0, 0.5 or 1" in unmeasured


async def test_of_several_series_the_worst_counts_and_no_value_is_picked(scene: Scene) -> None:
    deployment = await begun(scene, "twice")
    await on(scene, 1)
    last = await newest(scene, deployment)
    signals = {signal["name"]: (signal["status"], signal["value"]) for signal in last.details["signals"]}
    assert signals["cpu"] == ("warning", None)
    assert last.impact == 3
    assert "cpu: 2 series where one is due; the worst counts" in last.details["unmeasured"]


async def test_a_value_far_from_what_was_usual_at_this_hour_is_an_anomaly_within_its_limits(scene: Scene) -> None:
    deployment = await begun(scene, "unusual")
    await on(scene, 1)
    last = await newest(scene, deployment)
    assert last.status == "healthy"
    (anomaly,) = last.details["anomalies"]
    assert (anomaly["kind"], anomaly["name"], anomaly["degree"]) == ("learned", "error_ratio", "high")
    assert anomaly["sentence"].startswith("error_ratio is 1.5 %, 14.0 deviations above 0.1 %")
    assert "of 2 weeks" in anomaly["sentence"]
    assert any("not as usual" in recommendation["text"] for recommendation in last.details["recommendations"])


async def test_what_was_usual_is_learned_without_the_incidents_that_we_know(scene: Scene) -> None:
    week_ago = BEGINS - timedelta(weeks=1)
    await scene.deployed("1.2.2", ago=timedelta(weeks=1), service="unusual")
    deployment = await begun(scene, "unusual")
    await on(scene, 1)
    stored = await scene.read(lambda c: assessments.baselines(c, deployment.id))
    learned = stored["service_environment:http_request_errors_per_http_requests:ratio_rate5m"]
    assert learned.left_out == [("deployment 1 (1.2.2)", week_ago, week_ago + HOUR)]
    # Of the first hour one week is left, which is not enough; of the second there are two.
    weeks = [learned.hours[hour % 168][3] for hour in (hour_of_week(BEGINS), hour_of_week(BEGINS) + 1)]
    assert weeks == [1, 2]
    assert (await newest(scene, deployment)).details["anomalies"] == []


async def test_while_prometheus_is_away_nothing_is_known_and_it_is_asked_after_30_s_1_min_and_2_min(
    scene: Scene,
) -> None:
    deployment = await begun(scene, "well")
    await on(scene, 2)
    back = away(scene.context)
    await on(scene, 8)
    gone = [one for one in await every(scene, deployment) if one.problem]
    assert [one.next_seconds for one in gone][:5] == [30, 60, 120, 120, 120]
    assert {(one.status, one.confidence, one.impact) for one in gone} == {("unknown", 0, None)}
    assert "did not answer" in gone[0].problem
    assert gone[0].details["unmeasured"] == [f"nothing at all: {gone[0].problem}"]
    assert "mend the monitoring" in gone[0].details["recommendations"][0]["text"]
    back()
    await on(scene, 3)
    last = await newest(scene, deployment)
    assert (last.status, last.problem, last.next_seconds) == ("healthy", "", 30)
    counted = await scene.read(lambda c: counters.read(c, ReceiverMetric.ASSESSMENTS))
    assert counted["unknown", "no_measurement"] == len(gone)


async def test_series_that_stop_are_unknown_after_prometheuss_five_minutes(scene: Scene) -> None:
    deployment = await begun(scene, "stops")
    await on(scene, 9)
    assert (await newest(scene, deployment)).status == "healthy"
    await on(scene, 10)
    assert (await newest(scene, deployment)).status == "unknown"


async def test_a_rollback_by_hand_ends_it_as_no_success_and_the_version_is_nothing_to_go_back_to(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=HOUR, service="well")
    deployment = await begun(scene, "well")
    await on(scene, 2)
    await scene.context.store.write(lambda c: ledger.finish(c, deployment.id, Status.SUCCEEDED, scene.clock.now))
    await on(scene, 2)
    count = len(await every(scene, deployment))
    await scene.context.store.write(
        lambda c: ledger.undone(c, deployment.id, "1.2.3", scene.clock.now, scene.clock.now)
    )
    await on(scene, 5)
    ended = await ledgered(scene, deployment)
    assert (ended.success, ended.success_why) == ("refuted", "it was rolled back")
    assert len(await every(scene, deployment)) == count
    later = await begun(scene, "well", "1.2.5")
    assert later.previous_version == "1.2.3"


async def test_a_version_that_was_judged_bad_is_never_the_previous_one_whatever_its_pipeline_said(scene: Scene) -> None:
    await scene.deployed("1.2.3", ago=2 * HOUR, service="sick")
    await scene.deployed("1.2.4", ago=HOUR, service="sick")
    bad = await begun(scene, "sick")
    await scene.context.store.write(lambda c: ledger.judge(c, bad.id, BAD, scene.clock.now))
    await scene.context.store.write(lambda c: ledger.finish(c, bad.id, Status.SUCCEEDED, scene.clock.now))
    await on(scene, 2)
    ended = await ledgered(scene, bad)
    assert (ended.success, ended.success_why) == ("refuted", "it was judged bad")
    last = await newest(scene, bad)
    assert last.phase == "failed"
    assert last.details["recommendations"][0]["text"].startswith("roll back: the version is proven bad")
    # Its first deployment of an hour ago was a success, and its last one was not.
    assert (await begun(scene, "sick", "1.2.5")).previous_version == "1.2.3"


async def test_an_overtaken_deployment_is_unproven_and_says_why(scene: Scene) -> None:
    deployment = await begun(scene, "well")
    await on(scene, 2)
    await begun(scene, "well", "1.2.5")
    await on(scene, 1)
    ended = await ledgered(scene, deployment)
    assert ended.success == "unproven"
    assert ended.success_why == "no verdict let it pass; nobody has finished it"


async def test_a_promoted_deployment_that_stayed_well_is_validated_after_it_was_watched(scene: Scene) -> None:
    deployment = await begun(scene, "well")
    await on(scene, 2)
    await scene.context.store.write(lambda c: ledger.judge(c, deployment.id, "promote", scene.clock.now))
    await scene.context.store.write(lambda c: ledger.finish(c, deployment.id, Status.SUCCEEDED, scene.clock.now))
    await on(scene, 70, step=1)
    everything = await every(scene, deployment)
    waits = [(one.phase, one.next_seconds) for one in everything]
    assert waits.count(("post_deployment", 60)) == pytest.approx(60, abs=3)
    assert waits[-1] == ("validation", 300)
    await begun(scene, "well", "1.2.5")
    await on(scene, 6, step=1)
    ended = await ledgered(scene, deployment)
    assert ended.success == "validated"
    assert ended.success_why is not None
    assert ended.success_why.startswith("promoted, watched for 1h")


async def test_a_second_replica_and_a_kill_change_nothing(make_scene: MakeScene, recorded: Past) -> None:
    one, other = make_scene(configured(recorded)), make_scene(configured(recorded), owner="other")
    deployment = await begun(one, "well")
    for _ in range(6):
        one.clock.advance(timedelta(seconds=30))
        await asyncio.gather(one.drain(), other.drain())
    everything = await every(one, deployment)
    assert [assessment.number for assessment in everything] == list(range(1, len(everything) + 1))
    assert len(everything) >= 6
    # A replica takes the job and is killed: another takes over when the lease is over, with the next number.
    one.clock.advance(timedelta(seconds=30))
    taken: list[Job] = await one.context.store.write(lambda c: claim(c, one.clock.now, "killed", 1))
    assert [job.kind for job in taken] == [assessor.KIND]
    await on(other, 1)
    after = await every(other, deployment)
    assert [assessment.number for assessment in after] == list(range(1, len(after) + 1))
    assert len(after) > len(everything)


async def test_an_assessment_that_another_replica_has_stored_stays_as_it_is(scene: Scene) -> None:
    deployment = await begun(scene, "well")
    await on(scene, 0.5)
    first = await newest(scene, deployment)
    again = assessments.StoredAssessment(
        **{name: getattr(first, name) for name in type(first).__dataclass_fields__} | {"status": "critical"}
    )
    assert not await scene.context.store.write(lambda c: assessments.add(c, again))
    assert (await newest(scene, deployment)).status == "healthy"


async def test_without_a_plan_nothing_is_assessed_and_that_is_said_once(make_scene: MakeScene, recorded: Past) -> None:
    scene = make_scene()
    deployment = await begun(scene, "well")
    await on(scene, 1)
    last = await newest(scene, deployment)
    assert last.problem == "no verification plan covers well in production"
    assert (last.status, last.phase) == ("unknown", "deployment_active")
    # It is said once, and looked at again: a plan may come with the next configuration.
    await on(scene, 60, step=2)
    assert len(await every(scene, deployment)) == 1
    scene.context.settings = make_scene(configured(recorded)).context.settings
    await on(scene, 3)
    assert (await newest(scene, deployment)).status == "healthy"


async def test_a_rollback_and_what_was_over_a_day_ago_are_not_assessed(scene: Scene) -> None:
    old = await scene.deployed("1.0", ago=25 * HOUR, service="well")
    await scene.context.store.write(lambda c: assessments.queue(c, old, scene.clock.now))
    bad = await scene.deployed("1.1", ago=MINUTE, service="well")
    back = await scene.context.store.write(lambda c: ledger.undone(c, bad.id, "1.0", scene.clock.now, scene.clock.now))
    await scene.context.store.write(lambda c: assessments.queue(c, back, scene.clock.now))
    await on(scene, 1)
    assert await every(scene, old) == []
    assert await every(scene, back) == []
