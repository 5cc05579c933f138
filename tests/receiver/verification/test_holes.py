"""The table of holes: where other tools pass, abort or roll back on what is no evidence, ours says what it is."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.stages import StageState
from deploywatch.receiver.verification import counting, judging
from deploywatch.verdict.plan_parts import Operator
from deploywatch.verdict.plan_parts import Watch as Condition
from deploywatch.verdict.values import Answer, Reason
from tests.receiver.conftest import MakeScene
from tests.receiver.verification.conftest import BEGINS, Past, Watch, begin, configured


async def test_a_well_canary_is_promoted_when_its_time_is_over_and_not_before(watch: Watch) -> None:
    watched = await watch("well")
    await watched.on(10)
    assert (await watched.verdict()).answer is Answer.HOLD
    await watched.on(1.5)
    verdict = await watched.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.PROMOTE, Reason.PROVEN_GOOD)
    assert verdict.confidence["value"] > 0.9
    assert (await watched.now()).answer == Answer.PROMOTE


async def test_a_bad_canary_is_found_within_two_minutes_with_its_numbers(watch: Watch) -> None:
    watched = await watch("bad")
    await watched.on(2)
    verdict = await watched.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.ROLL_BACK, Reason.PROVEN_BAD)
    counts = verdict.findings[0]["counts"]
    looks = verdict.look
    assert counts == {
        "requests": 400 * looks,
        "bad": 12 * looks,
        "control_requests": 3600 * looks + looks,
        "control_bad": looks,
    }
    assert "canary failed" in verdict.sentences[0]
    assert (await watched.now()).state is StageState.ROLLED_BACK
    assert (await watched.ledger()).verdict == "roll_back"


@pytest.mark.parametrize("known", [True, False])
async def test_what_a_version_known_to_be_bad_did_an_hour_ago_excuses_no_other(
    make_scene: MakeScene, past: Past, *, known: bool
) -> None:
    scene = make_scene(configured(past))
    if known:
        began, ended = BEGINS - timedelta(minutes=31), BEGINS - timedelta(minutes=15)

        def write(connection: Connection) -> None:
            bad = ledger.start(
                connection,
                service="after-incident",
                environment="production",
                version="1.2.3-1",
                started_at=began,
            )
            ledger.undone(connection, bad.id, "1.2.3", ended - timedelta(minutes=1), ended)

        await scene.context.store.write(write)
    watched = await begin(scene, past, "after-incident")
    await watched.on(2)
    verdict = await watched.verdict()
    # Clumps that nobody knows the reason of make the evidence weaker, as they should.
    assert verdict.answer is (Answer.ROLL_BACK if known else Answer.HOLD), verdict.sentences
    before = (await watched.now()).before or {}
    assert len(before["error_ratio > 0.5%"]) == (120 - 34 if known else 120)


@pytest.mark.parametrize(
    ("service", "answer", "reason"),
    [
        ("both-bad", Answer.HOLD, Reason.CONTROL_BAD_TOO),
        ("near", Answer.HOLD, Reason.UNDECIDED),
        ("few", Answer.HOLD, Reason.LOW_TRAFFIC),
        ("nothing", Answer.ERROR, Reason.INVALID_COUNTS),
        ("stops", Answer.HOLD, Reason.GAP),
        ("nan", Answer.ERROR, Reason.INVALID_COUNTS),
        ("share", Answer.HOLD, Reason.SHARE_MISMATCH),
        ("unwatched", Answer.HOLD, Reason.WATCH),
        ("hot", Answer.HOLD, Reason.WATCH),
        ("births", Answer.ROLL_BACK, Reason.PROVEN_BAD),
        ("restarts", Answer.PROMOTE, Reason.PROVEN_GOOD),
        ("crash-loops", Answer.ROLL_BACK, Reason.PROVEN_BAD),
        ("gap", Answer.PROMOTE, Reason.PROVEN_GOOD),
        ("gone", Answer.ERROR, Reason.INVALID_COUNTS),
    ],
)
async def test_what_the_verdict_is_after_the_stages_time(
    watch: Watch, service: str, answer: Answer, reason: Reason
) -> None:
    watched = await watch(service)
    await watched.on(12)
    verdict = await watched.verdict()
    assert (verdict.answer, reason in (verdict.reason, *verdict.also)) == (answer, True), verdict.sentences


async def test_too_little_traffic_says_how_much_more_is_needed(watch: Watch) -> None:
    watched = await watch("few")
    await watched.on(12)
    (needed,) = [text for text in (await watched.verdict()).sentences if "more requests" in text]
    assert "min at this rate" in needed


async def test_after_its_most_time_an_undecided_stage_asks_a_person_and_tells_them(watch: Watch) -> None:
    watched = await watch("near")
    await watched.on(33)
    verdict = await watched.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, Reason.NEEDS_PERSON)
    incident = await watched.scene.incident()
    assert (incident.type, incident.severity) == ("deployment_held", "medium")
    assert "waits for a person" in incident.title
    assert await watched.scene.rollbacks() == []


async def test_counts_are_whole_and_every_request_is_counted_once_over_resets_and_gaps(watch: Watch) -> None:
    for service, least in (("restarts", 0.85), ("gap", 1.0)):
        watched = await watch(service)
        await watched.on(12)
        taken = await watched.looks()
        counts = [look.counts["error_ratio > 0.5%"] for look in taken]
        total = sum(int(one.requests or 0) for one in counts)
        # What came between the last scrape and a restart nobody can know.
        assert least * 400 * len(taken) <= total <= 402 * len(taken)


async def test_of_an_old_process_that_is_scraped_for_the_first_time_nothing_of_before_is_counted(watch: Watch) -> None:
    watched = await watch("adopted")
    await watched.on(12)
    verdict = await watched.verdict()
    assert verdict.findings[0]["counts"]["bad"] < 10
    assert verdict.answer is not Answer.ROLL_BACK


async def test_while_prometheus_is_away_the_verdict_is_error_and_what_was_missed_is_judged_afterwards(
    watch: Watch,
) -> None:
    watched, undisturbed = await watch("late-bad"), await watch("well")
    settings, context = watched.scene.context.settings, watched.scene.context
    await watched.on(5)
    away = settings.model_copy(update={"prometheus": settings.prometheus.model_validate({"url": "http://127.0.0.1:1"})})
    context.settings = away
    await watched.on(4)
    error = await watched.verdict()
    assert (error.answer, error.reason) == (Answer.ERROR, Reason.SOURCE)
    assert "did not answer" in error.sentences[0]
    assert (await watched.ledger()).verdict is None
    assert await watched.scene.rollbacks() == []
    context.settings = settings
    await watched.on(1)
    assert (await watched.verdict()).answer is Answer.ROLL_BACK
    numbers = [look.number for look in await watched.looks()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert undisturbed.stage.id != watched.stage.id


async def test_several_series_where_one_is_due_are_no_number_and_nan_is_none(watch: Watch, past: Past) -> None:
    watched = await watch("well")
    source, at = counting.source(watched.scene.context), BEGINS.timestamp() + 120
    assert await source.count('http_requests_total{service="well"}', at) is None
    assert await source.count('sum(http_requests_total{service="well"})', at) is not None
    assert await source.count('sum(http_requests_total{service="nan"}) * 0', at + 600) is None
    assert await source.count('http_requests_total{service="nobody"}', at) is None
    assert await source.count("vector(1.5)", at) is None
    assert await source.count("vector(-1)", at) is None
    assert await source.count("vector(1) / 0", at) is None


@pytest.mark.parametrize(
    ("operator", "query", "bad"),
    [
        (">", "vector(2)", True),
        (">", "vector(0)", False),
        (">", "vector(1) / 0", True),
        (">", "vector(-1) / 0", None),
        ("<", "vector(1) / 0", None),
        ("!=", "vector(0) / 0", None),
        # Of a pod that is gone nothing is known, and another that is bad is bad all the same.
        (">", 'label_replace(vector(0), "pod", "a", "", "") or vector(0) / 0', None),
        (">", 'label_replace(vector(2), "pod", "a", "", "") or vector(0) / 0', True),
    ],
)
async def test_a_watched_condition_that_has_no_number_is_not_measured(
    watch: Watch, operator: Operator, query: str, bad: object
) -> None:
    watched = await watch("well")
    asked = counting.source(watched.scene.context)
    found = await counting.state(asked, Condition(name="x", query=query, operator=operator, threshold=1), time.time())
    assert found is bad


async def test_a_look_is_not_taken_before_prometheus_has_scraped_it(make_scene: MakeScene, past: Past) -> None:
    """By its own clock: with ours ahead, what is scraped between the two would be counted in no look."""
    scene = make_scene(configured(past))
    scene.clock.now = datetime.now(UTC) + timedelta(minutes=10)
    watched = await begin(scene, past, "bad")
    await watched.on(2)
    verdict = await watched.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.ERROR, Reason.SOURCE)
    assert "clock is" in verdict.sentences[0]
    assert await watched.looks() == []
    # What is less than a look is waited for, and nothing is said of it.
    asked, begun = counting.source(scene.context), datetime.now(UTC)
    until = await counting.scraped_until(asked, begun + timedelta(seconds=600), 900)
    assert begun - timedelta(seconds=1) <= until <= datetime.now(UTC) + timedelta(seconds=1)
    earlier = begun - timedelta(hours=1)
    assert await counting.scraped_until(asked, earlier, 900) == earlier


async def test_with_all_of_the_traffic_absolute_limits_decide_and_confidence_has_a_limit(watch: Watch) -> None:
    watched = await watch("both-bad", stage="full")
    await watched.on(2)
    verdict = await watched.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.ROLL_BACK, Reason.PROVEN_BAD)
    assert "new version failed" in verdict.sentences[0]
    assert verdict.confidence["value"] <= 0.6
    assert any("time of day not excluded" in why for why in verdict.confidence["why_not_higher"])


async def test_without_a_control_a_change_against_the_time_before_asks_a_person(watch: Watch, past: Past) -> None:
    watched = await watch("rises", stage="full")
    plan = watched.stage.plan
    (limit,) = plan.limits
    relative = limit.model_copy(update={"name": "rise(error_ratio) > 25%", "limit": 1.25, "relative": True})
    changed = replace(watched.stage, plan=plan.model_copy(update={"limits": (limit, relative)}))
    await watched.on(8)
    source = counting.source(watched.scene.context)
    before = await counting.before(source, changed)
    assert len(before[relative.name]) == len(before[limit.name]) > 100
    taken = [await counting.take(source, changed, number) for number in range(1, 15)]
    decision = judging.decide(replace(changed, before=before), taken, watched.scene.clock.now)
    assert (decision.answer, decision.reason) == (Answer.HOLD, Reason.NEEDS_PERSON)
    assert "a person decides" in decision.sentences[0]


async def test_the_newest_sample_is_waited_for_one_scrape(watch: Watch) -> None:
    watched = await watch("well")
    await watched.on(1.5)
    assert [look.number for look in await watched.looks()] == [1, 2]
    assert all(look.ends_at + timedelta(seconds=30) <= watched.scene.clock.now for look in await watched.looks())
