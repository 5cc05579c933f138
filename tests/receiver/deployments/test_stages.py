"""Stages, looks, verdicts and approvals in the store: one stage at a time, a look once, and what goes back is well."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from deploywatch.receiver.deployments import approvals, earlier, gate_records, ledger, looks, stages, verdicts
from deploywatch.receiver.deployments.deployment import BAD
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import StageState
from deploywatch.receiver.store import Store, StoreError
from deploywatch.receiver.store.deployment_schema import deployment_stages
from deploywatch.verdict.evidence import Look
from deploywatch.verdict.judge import judge
from deploywatch.verdict.plan import StagePlan
from deploywatch.verdict.plan_parts import Counts, Limit
from deploywatch.verdict.values import Answer, Measured, Reason, Stage
from tests.receiver.deployments.test_ledger import good, start
from tests.receiver.scene import HOUR, MINUTE, NOON

PLAN = StagePlan(
    policy="shop",
    stage="canary-10",
    share=0.1,
    lasts=900,
    at_most=2700,
    stages=3,
    last=False,
    control=True,
    look=30,
    scrape=15,
    limits=(Limit(name="error_ratio > 0.5%", signal="error_ratio", limit=0.005, new=Counts(requests="1", bad="1")),),
)
LOOK = StoredLook(1, NOON + MINUTE / 2, {"error_ratio > 0.5%": Look(100, 2, 900, None)}, {"cpu > 90%": None})


async def test_the_next_stage_ends_the_one_before_it_and_keeps_its_own_plan(store: Store) -> None:
    def work(connection: Connection) -> None:
        deployment = start(connection, "2")
        first = stages.begin(connection, deployment.id, PLAN, NOON)
        assert (first.state, first.position, first.plan) == (StageState.RUNNING, 1, PLAN)
        second = stages.begin(connection, deployment.id, PLAN.model_copy(update={"stage": "canary-50"}), NOON + MINUTE)
        known = stages.of_deployment(connection, deployment.id)
        assert [(one.name, one.state, one.ended_at) for one in known] == [
            ("canary-10", StageState.SUPERSEDED, NOON + MINUTE),
            ("canary-50", StageState.RUNNING, None),
        ]
        assert stages.running(connection, "shop", "production") == [second]
        assert stages.newest(connection, deployment.id, "canary-10") == known[0]

    await store.write(work)


async def test_two_stages_of_a_deployment_cannot_run_at_once(store: Store) -> None:
    def work(connection: Connection) -> None:
        stage = stages.begin(connection, start(connection, "2").id, PLAN, NOON)
        row = {"name": "x", "position": 2, "plan": {}, "state": StageState.RUNNING, "started_at": NOON}
        connection.execute(insert(deployment_stages).values(deployment_id=stage.deployment_id, **row))

    with pytest.raises((IntegrityError, StoreError), match="deployment_stages"):
        await store.write(work)


async def test_a_hold_is_accepted_once_and_only_while_the_stage_runs(store: Store) -> None:
    def work(connection: Connection) -> None:
        stage = stages.begin(connection, start(connection, "2").id, PLAN, NOON)
        assert stages.accept(connection, stage.id, NOON + MINUTE, by="ann", why="it is night")
        assert not stages.accept(connection, stage.id, NOON + HOUR, by="bob", why="me too")
        stages.end(connection, stage.id, StageState.ENDED, NOON + HOUR)
        accepted = stages.get(connection, stage.id)
        assert (accepted.state, accepted.accepted_by, accepted.ended_at) == (StageState.ACCEPTED, "ann", NOON + MINUTE)

    await store.write(work)


async def test_a_look_is_stored_once_whichever_replica_is_first(store: Store) -> None:
    def work(connection: Connection) -> None:
        stage = stages.begin(connection, start(connection, "2").id, PLAN, NOON)
        assert looks.newest_number(connection, stage.id) == 0
        assert looks.add(connection, stage.id, LOOK, NOON)
        other = StoredLook(1, LOOK.ends_at, {"error_ratio > 0.5%": Look(1, 1, 1, 1)}, {})
        assert not looks.add(connection, stage.id, other, NOON)
        assert looks.of_stage(connection, stage.id) == [LOOK]

    await store.write(work)


async def test_a_verdict_is_stored_with_its_numbers(store: Store) -> None:
    def work(connection: Connection) -> None:
        stage = stages.begin(connection, start(connection, "2").id, PLAN, NOON)
        counted = [Look(628, 12, 5721, 3), Look(640, 15, 5760, 4), Look(636, 11, 5729, 2)]
        before = [Look(6000, bad) for bad in (3, 2, 4, 3)]
        decision = judge(Stage(900, 3, 0.1), 90, [Measured("error_ratio", 0.005, counted, before)])
        verdicts.record(
            connection, stage_id=stage.id, deployment_id=stage.deployment_id, look=3, decision=decision, now=NOON
        )
        stored = verdicts.newest(connection, stage.id)
        assert stored is not None
        assert (stored.answer, stored.reason) == (Answer.ROLL_BACK, Reason.PROVEN_BAD)
        assert stored.sentences == decision.sentences
        assert stored.findings[0]["counts"] == {
            "requests": 1904,
            "bad": 38,
            "control_requests": 17210,
            "control_bad": 9,
        }
        assert stored.confidence["value"] == decision.confidence.value
        assert verdicts.of_deployment(connection, stage.deployment_id) == [stored]

    await store.write(work)


async def test_an_approval_is_withdrawn_once(store: Store) -> None:
    def work(connection: Connection) -> None:
        given = approvals.give(
            connection,
            service="shop",
            environment="production",
            version="2",
            artifact="shop@sha256:1",
            role="tech-lead",
            by="ann",
            verified=True,
            note="",
            at=NOON,
            expires_at=NOON + HOUR,
        )
        assert approvals.of_version(connection, "shop", "production", "2") == [given]
        assert approvals.of_version(connection, "shop", "staging", "2") == []
        approvals.withdraw(connection, given.id, NOON + MINUTE, by="bob")
        again = approvals.withdraw(connection, given.id, NOON + HOUR, by="eve")
        assert again is not None
        assert (again.withdrawn_by, again.withdrawn_at) == ("bob", NOON + MINUTE)

    await store.write(work)


async def test_of_records_the_newest_counts_whenever_it_was_told(store: Store) -> None:
    def work(connection: Connection) -> None:
        for at, detail in ((NOON, "new"), (NOON - HOUR, "old")):
            gate_records.add(
                connection,
                service="shop",
                environment="production",
                kind="backup",
                at=at,
                recorded_at=NOON + HOUR,
                by="cron",
                detail=detail,
            )
        found = gate_records.newest(connection, "shop", "production", "backup")
        assert found is not None
        assert (found.detail, found.at) == ("new", NOON)
        assert gate_records.newest(connection, "shop", "staging", "backup") is None

    await store.write(work)


async def test_nothing_goes_back_to_a_version_that_was_judged_bad_whatever_its_pipeline_said(store: Store) -> None:
    def work(connection: Connection) -> None:
        good(connection, "1")
        bad = good(connection, "2", NOON + MINUTE)
        ledger.judge(connection, bad.id, BAD, NOON + MINUTE)
        ledger.judge(connection, bad.id, "promote", NOON + HOUR)
        assert ledger.get(connection, bad.id).verdict == BAD
        newest = start(connection, "3", NOON + HOUR)
        assert newest.previous_version == "1"
        assert earlier.well_before(connection, newest) == "1"

    await store.write(work)
