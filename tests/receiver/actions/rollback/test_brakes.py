"""The brakes of a rollback: each refusal with its reason and its sentence, and what no rollback ever gets past."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploywatch.receiver.actions.rollback.brakes import decide
from deploywatch.receiver.actions.rollback.situation import ADVICE, ApprovalState, Go, Refusal, Refused, Situation
from deploywatch.receiver.actions.rollback.situation import HOUR as SITUATION_HOUR
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.settings.actions.rollback import Rollback
from tests.receiver.scene import HOUR, MINUTE, NOON
from tests.support.examples import examples

TARGET = {"service": "shop", "command": ["deploy", "{to_version}"], "verify": {"url": "http://exporter/health"}}
DEPLOYMENT = Deployment(
    id=2,
    service="shop",
    environment="production",
    version="1.2.3",
    previous_version="1.2.2",
    strategy="",
    deployer="ci",
    ports=(),
    status=Status.SUCCEEDED,
    started_at=NOON - HOUR,
    finished_at=NOON - HOUR,
    rollback_of=None,
)
READY = Situation(
    now=NOON,
    service="shop",
    environment="production",
    incident_over=False,
    deployment=DEPLOYMENT,
    tried="",
    last_rollback=None,
    to_version="1.2.2",
)


def brakes(**changes: Any) -> Rollback:
    return Rollback.model_validate({"mode": "auto", "targets": [TARGET], **changes})


def deployed(**changes: Any) -> dict[str, Any]:
    return {"deployment": replace(DEPLOYMENT, **changes)}


REFUSALS: dict[Refusal, tuple[dict[str, Any], str]] = {
    Refusal.INCIDENT_OVER: (
        {"incident_over": True},
        "every alert has resolved meanwhile, or somebody ended the incident",
    ),
    Refusal.NO_TARGET: ({"service": "search"}, "no rollback target is configured for search in production"),
    Refusal.NO_DEPLOYMENT: ({"deployment": None}, "no deployment of shop in production is known"),
    Refusal.ALREADY_ROLLED_BACK: (
        deployed(version="1.2.2", rollback_of=2),
        "shop in production was rolled back to 1.2.2 already, and nothing deployed since is known",
    ),
    Refusal.ALREADY_TRIED: (
        {"tried": "failed"},
        "a rollback of 1.2.3 was begun before and is failed; it is not run a second time",
    ),
    Refusal.UNDER_WAY: ({"tried": "verifying"}, "a rollback of 1.2.3 is verifying already"),
    Refusal.NOT_RECENT: (
        deployed(started_at=NOON - 25 * HOUR),
        "the last deployment, 1.2.3, is 1d1h old; only the last 1d count",
    ),
    Refusal.NO_PREVIOUS_VERSION: (
        {"to_version": None},
        "no version that was well before 1.2.3 is known",
    ),
    Refusal.SAME_VERSION: (
        {"to_version": None, **deployed(previous_version="1.2.3")},
        "1.2.3 ran before as well, and no other version is known",
    ),
    Refusal.NEWER_DEPLOYMENT: (
        {"asked_since": NOON - 2 * HOUR},
        "a deployment of 1.2.3 began at 11:00:00 UTC, after the alert that asks; it may be the remedy",
    ),
    Refusal.DEPLOYMENT_RUNNING: (
        deployed(status=Status.RUNNING, finished_at=None),
        "the deployment of 1.2.3 is still running, so nobody knows what runs when",
    ),
    Refusal.LOCKED: (
        {"held_by": "the rollback of deployment 1"},
        "shop in production is in the hands of the rollback of deployment 1",
    ),
    Refusal.BREAKER_OPEN: (
        {"failed_in_a_row": 3},
        "the last 3 rollbacks of shop in production failed",
    ),
    Refusal.CAP_OF_TARGET: (
        {"of_target": 3, "in_all": 3},
        "3 rollbacks of shop in production began within an hour; at most 3 may",
    ),
    Refusal.CAP_IN_ALL: ({"in_all": 10}, "10 rollbacks of all services began within an hour; at most 10 may"),
    Refusal.REJECTED: ({"word": ApprovalState.REJECTED}, "a person said no to rolling back 1.2.3"),
    Refusal.APPROVAL_EXPIRED: ({"word": ApprovalState.EXPIRED}, "nobody said yes in time to rolling back 1.2.3"),
    Refusal.APPROVAL_WAITING: ({"word": ApprovalState.WAITING}, "rolling back 1.2.3 waits for a person's word already"),
    Refusal.NOT_ENOUGH_ISSUES: (
        {"issues": ("HighErrorRate", "HighErrorRate")},
        "1 of 2 issues needed (HighErrorRate), confidence 30% of 60%: monitor",
    ),
    Refusal.COOLDOWN: ({"last_rollback": NOON - 10 * MINUTE}, "cooldown until 12:20:00 UTC"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_brake_holds_with_its_reason_and_sentence(reason: Refusal) -> None:
    changes, sentence = REFUSALS[reason]
    gate: dict[str, Any] = {"decide": {}} if reason is Refusal.NOT_ENOUGH_ISSUES else {}
    assert decide(replace(READY, **changes), brakes(**gate)) == Refused(reason, sentence)


@pytest.mark.parametrize(
    "changes",
    [
        deployed(status=Status.FAILED),
        {"asked_since": DEPLOYMENT.started_at + timedelta()},
        {"asked_since": NOON},
        {"last_rollback": NOON - 31 * MINUTE},
        {"failed_in_a_row": 2, "of_target": 2, "in_all": 9},
    ],
)
def test_what_is_within_every_limit_goes(changes: dict[str, Any]) -> None:
    assert isinstance(decide(replace(READY, **changes), brakes()), Go)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"failed_in_a_row": 400}, Refusal.BREAKER_OPEN),
        ({"of_target": 400}, Refusal.CAP_OF_TARGET),
        ({"in_all": 400}, Refusal.CAP_IN_ALL),
        ({"to_version": None, **deployed(previous_version="1.2.4")}, Refusal.NO_PREVIOUS_VERSION),
        (deployed(status=Status.ROLLED_BACK), Refusal.ALREADY_ROLLED_BACK),
        ({"tried": "running"}, Refusal.UNDER_WAY),
    ],
)
def test_what_is_far_beyond_a_limit_is_refused_as_well(changes: dict[str, Any], reason: Refusal) -> None:
    decision = decide(replace(READY, **changes), brakes())
    assert isinstance(decision, Refused)
    assert decision.reason is reason


def test_nothing_is_counted_against_a_target_that_has_not_been_rolled_back() -> None:
    fresh = Situation(NOON, "shop", "production", incident_over=False, deployment=None, tried="", last_rollback=None)
    assert (fresh.failed_in_a_row, fresh.of_target, fresh.in_all, fresh.issues) == (0, 0, 0, ())
    assert (fresh.to_version, fresh.asked_since, fresh.held_by, fresh.word) == (None, None, "", ApprovalState.NONE)


def test_the_caps_are_of_one_hour() -> None:
    assert timedelta(minutes=60) == SITUATION_HOUR


def test_an_approval_that_was_withdrawn_outweighs_nothing() -> None:
    withdrawn = replace(READY, word=ApprovalState.WITHDRAWN)
    decision = decide(withdrawn, brakes(mode="approve"))
    assert isinstance(decision, Go)
    assert (decision.mode, decision.why) == ("approve", "")


@pytest.mark.parametrize(("mode", "becomes"), [("auto", "approve"), ("approve", "approve"), ("dry-run", "dry-run")])
def test_gradual_evidence_makes_only_an_automatic_rollback_ask(mode: str, becomes: str) -> None:
    decision = decide(replace(READY, issues=("A", "B")), brakes(mode=mode, decide={"confidence": 0.9}))
    assert isinstance(decision, Go)
    assert decision.mode == becomes


def test_every_refusal_is_in_the_table_but_the_one_that_the_values_decide() -> None:
    assert {*REFUSALS, Refusal.UNSAFE_VALUE} == set(Refusal)


def test_every_refusal_says_what_a_person_can_do() -> None:
    assert set(ADVICE) == set(Refusal)
    assert Refused(Refusal.COOLDOWN, "cooldown until 14:35:00 UTC").sentence == (
        "cooldown until 14:35:00 UTC; ask again then, or roll back by hand"
    )


def test_with_every_brake_off_it_goes_to_the_previous_version() -> None:
    settings_ = brakes()
    assert decide(READY, settings_) == Go(DEPLOYMENT, settings_.targets[0], "1.2.2", "auto")


def test_unless_told_otherwise_it_is_a_dry_run() -> None:
    decision = decide(READY, Rollback.model_validate({"targets": [TARGET]}))
    assert isinstance(decision, Go)
    assert decision.mode == "dry-run"


@pytest.mark.parametrize(
    ("issues", "mode", "text"),
    [
        ("A B", "auto", "2 of 2 issues needed (A, B), confidence 60% of 60%: immediate"),
        ("A B C", "auto", "3 of 2 issues needed (A, B, C), confidence 90% of 60%: immediate"),
    ],
)
def test_enough_issues_let_it_go_and_say_why(issues: str, mode: str, text: str) -> None:
    decision = decide(replace(READY, issues=tuple(issues.split())), brakes(decide={}))
    assert isinstance(decision, Go)
    assert (decision.mode, decision.why) == (mode, text)


def test_enough_issues_without_confidence_are_for_a_person_to_decide() -> None:
    decision = decide(replace(READY, issues=("A", "B")), brakes(decide={"confidence": 0.9}))
    assert isinstance(decision, Go)
    assert decision.mode == "approve"
    assert decision.why.endswith("gradual")


def test_a_persons_yes_outweighs_the_evidence_but_not_a_dry_run() -> None:
    approved = replace(READY, word=ApprovalState.APPROVED)
    modes = [decide(approved, brakes(mode=mode, decide={})) for mode in ("approve", "auto", "dry-run")]
    assert [one.mode for one in modes if isinstance(one, Go)] == ["auto", "auto", "dry-run"]


def test_a_target_can_have_a_mode_of_its_own() -> None:
    decision = decide(READY, brakes(mode="auto", targets=[{**TARGET, "mode": "approve"}]))
    assert isinstance(decision, Go)
    assert decision.mode == "approve"


@pytest.mark.parametrize(("age", "goes"), [(24 * HOUR, True), (24 * HOUR + timedelta(seconds=1), False)])
def test_the_limit_of_recent_itself_is_recent(age: timedelta, goes: bool) -> None:
    decision = decide(replace(READY, **deployed(started_at=NOON - age)), brakes())
    assert isinstance(decision, Go) is goes


@pytest.mark.parametrize(("since", "goes"), [(30 * MINUTE, True), (30 * MINUTE - timedelta(seconds=1), False)])
def test_the_cooldown_is_over_when_its_time_has_passed(since: timedelta, goes: bool) -> None:
    decision = decide(replace(READY, last_rollback=NOON - since), brakes())
    assert isinstance(decision, Go) is goes


@pytest.mark.parametrize(
    ("service", "environment", "found"),
    [
        ("shop", "production", "exact"),
        ("shop", "staging", "any environment"),
        ("search", "production", "any service"),
        ("search", "staging", None),
    ],
)
def test_the_first_target_that_covers_it_is_taken(service: str, environment: str, found: str | None) -> None:
    def target(service: str, environment: str, name: str) -> dict[str, Any]:
        return {**TARGET, "service": service, "environment": environment, "command": [name]}

    targets = [
        target("shop", "production", "exact"),
        target("shop", "*", "any environment"),
        target("*", "production", "any service"),
    ]
    chosen = brakes(targets=targets).target(service, environment)
    assert (chosen.command[0] if chosen and chosen.command else None) == found


durations = st.timedeltas(timedelta(), timedelta(days=3))
situations = st.builds(
    Situation,
    now=st.just(NOON),
    service=st.sampled_from(["shop", "search"]),
    environment=st.just("production"),
    incident_over=st.booleans(),
    deployment=st.none()
    | st.builds(
        lambda age, previous, status, back: replace(
            DEPLOYMENT, started_at=NOON - age, previous_version=previous, status=status, rollback_of=back
        ),
        durations,
        st.sampled_from([None, "1.2.2", "1.2.3"]),
        st.sampled_from(Status),
        st.none() | st.just(1),
    ),
    tried=st.sampled_from(["", "running", "failed", "unknown", "verified"]),
    last_rollback=st.none() | durations.map(lambda age: NOON - age),
    to_version=st.sampled_from([None, "1.2.2"]),
    asked_since=st.none() | durations.map(lambda age: NOON - age),
    failed_in_a_row=st.integers(0, 4),
    of_target=st.integers(0, 4),
    in_all=st.integers(0, 11),
    held_by=st.sampled_from(["", "", "the rollback of deployment 7"]),
    word=st.sampled_from(ApprovalState),
)


@settings(max_examples=examples(400))
@given(situations, durations, durations)
def test_nothing_goes_past_a_brake(situation: Situation, recent: timedelta, cooldown: timedelta) -> None:
    decision = decide(situation, brakes(recent=recent, cooldown=cooldown))
    if isinstance(decision, Refused):
        assert decision.detail
        return
    deployment = situation.deployment
    assert deployment is not None
    assert not situation.incident_over
    assert not situation.tried
    assert deployment.rollback_of is None
    assert deployment.status != "rolled_back"
    assert situation.now - deployment.started_at <= recent
    assert deployment.status is not Status.RUNNING
    assert situation.asked_since is None or deployment.started_at <= situation.asked_since
    assert situation.failed_in_a_row < 3
    assert situation.of_target < 3
    assert situation.in_all < 10
    assert not situation.held_by
    assert situation.word in (ApprovalState.NONE, ApprovalState.APPROVED, ApprovalState.WITHDRAWN)
    assert situation.last_rollback is None or situation.now - situation.last_rollback >= cooldown
    assert decision.to_version == situation.to_version != deployment.version
    assert decision.target.covers(situation.service, situation.environment)
