"""A yes counts from those whom the configuration names, by what was verified; what is claimed is said beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from deploywatch.receiver.actions.rollback import approvers
from deploywatch.receiver.actions.rollback.approvers import Answerer
from deploywatch.receiver.announcements.announced import told
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.settings.actions.rollback import Approval
from deploywatch.receiver.store.people_schema import audit
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.actions.rollback.test_slack_approval import SLACK, _press, _value
from tests.receiver.front import front_of
from tests.receiver.scene import Scene

BOB = {"by": "bob"}
OURS = ["deploywatch", "DeployWatch", " deploywatch\n", "deploy\u200bwatch", "ｄｅｐｌｏｙｗａｔｃｈ", "\u202e", " "]
LOOKALIKES = ["dерloywatch", "Deploy-Watch", "[deploywatch]", "d\u00e9ploywatch.", "dep1oywatch", "ԁеρӏοуԝαтсհ"]
LIKE_VERIFIED = [
    "boss (Slack U0000BOSS)",
    "Ann Lee (PagerDuty P1)",
    "ann (signed link)",
    "ann for bob",
    "b (\uff53lack)",
]


async def asking(ground: Ground, **approval: Any) -> Scene:
    """A scene that waits for a yes."""
    settings = {"within": "15m", **approval}
    scene = await ground.scene(mode="approve", approval=settings, beside={"channels": {"team": SLACK}})
    await scene.take(critical())
    await scene.drain()
    return scene


async def rows(scene: Scene) -> list[tuple[str, bool, str]]:
    """The audit, as who, verified and what."""
    answer = await scene.read(lambda c: c.execute(select(audit.c.who, audit.c.verified, audit.c.what)).all())
    return [(row.who, row.verified, row.what) for row in answer]


async def test_only_an_approver_s_yes_counts_and_no_claim_makes_one(ground: Ground) -> None:
    scene = await asking(ground, approvers=["ann", "U0000BOSS"])
    for user in ("", "bob"):
        async with front_of(scene, user=user) as front:
            for path in ("/incidents/1/approve", "/incidents/1/rollback"):
                answer = await front("POST", path, {"by": "ann"})
                assert answer.status in (403, 409)
                assert "may not approve rollbacks; rollback.approval.approvers names who may" in answer.data
    await scene.drain()
    assert ground.ran == []
    assert len(await scene.lines("action_refused")) == 4
    async with front_of(scene, user="ann") as front:
        assert (await front("POST", "/incidents/1/approve", BOB)).status == 200
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]


async def test_slack_s_users_approve_by_their_id_and_are_audited(ground: Ground) -> None:
    scene = await asking(ground, approvers=["ann"])
    assert await _press(scene, "approve", _value(scene)) == 200
    await scene.drain()
    assert (ground.ran, await rows(scene)) == ([], [])
    assert len(await scene.lines("action_refused")) == 1


@pytest.mark.parametrize("claimed", ["U0000BOSS", "u0000boss", "U0000BOSS ", "Slack U0000BOSS", "boss"])
async def test_no_program_claims_the_id_of_a_slack_user(ground: Ground, claimed: str) -> None:
    scene = await asking(ground, approvers=["U0000BOSS"])
    for user in ("", "mallory"):
        async with front_of(scene, user=user) as front:
            for path in ("/incidents/1/approve", "/incidents/1/rollback"):
                assert (await front("POST", path, {"by": claimed})).status in (400, 403, 409)
    await scene.drain()
    assert ground.ran == []


@pytest.mark.parametrize(
    "user",
    [
        {"id": "U0000EVIL", "username": "U0000BOSS"},
        {"id": "U0000EVIL", "username": "ann", "name": "U0000BOSS"},
        {"id": "u0000boss", "username": "boss"},
        {"id": "U0000BOSS\n", "username": "boss"},
        {"id": ["U0000BOSS"], "username": "boss"},
        {"username": "U0000BOSS"},
    ],
)
async def test_a_slack_user_has_no_other_s_id_by_what_they_call_themselves(
    ground: Ground, user: dict[str, Any]
) -> None:
    scene = await asking(ground, approvers=["U0000BOSS", "ann"])
    assert await _press(scene, "approve", _value(scene), user=user) in (200, 400)
    await scene.drain()
    assert (ground.ran, await rows(scene)) == ([], [])


async def test_a_press_and_its_audit_are_one(ground: Ground) -> None:
    scene = await asking(ground, approvers=["U0123ANN"])
    assert await _press(scene, "approve", _value(scene)) == 200
    await scene.drain()
    assert ground.ran == ["1.2.2 shop"]
    assert await rows(scene) == [("ann (Slack U0123ANN)", True, "slack.approve")]


async def test_the_verified_name_wins_and_the_claimed_one_is_said(ground: Ground) -> None:
    scene = await asking(ground)
    async with front_of(scene, user="ann") as front:
        assert (await front("POST", "/incidents/1/acknowledge", BOB)).data["acknowledged_by"] == "ann for bob"
        assert (await front("POST", "/incidents/1/approve", {"by": "ann"})).data["decided_by"] == "ann"
    assert [row[:2] for row in await rows(scene)] == [("ann", True), ("ann", True)]


@pytest.mark.parametrize("name", [*OURS, *LOOKALIKES, *LIKE_VERIFIED])
async def test_what_it_does_by_itself_nobody_does_in_its_name(ground: Ground, name: str) -> None:
    scene = await asking(ground)
    async with front_of(scene) as front:
        for path in ("/incidents/1/acknowledge", "/incidents/1/approve", "/incidents/1/rollback"):
            assert (await front("POST", path, {"by": name})).status == 400
    assert await rows(scene) == []


async def test_what_it_deploys_by_itself_nobody_deploys_in_its_name(ground: Ground) -> None:
    scene = await asking(ground)
    new = {"service": "shop", "environment": "production", "version": "9"}
    async with front_of(scene) as front:
        for name in ("deploywatch", *LOOKALIKES):
            assert (await front("POST", "/deployments", {**new, "deployer": name})).status == 400, name
        assert (await front("POST", "/deployments", {**new, "deployer": "deploywatcher"})).status == 201
        # What is taken in from another ledger has its rollbacks.
        over = {**new, "timestamp": "2026-04-01T12:00:00Z", "status": "success", "deployer": "deploywatch"}
        assert (await front("POST", "/deployments", over)).data["deployer"] == "deploywatch (recorded)"
    assert {told(name) for name in ("octocat", "Deploy-Watch")} == {"octocat", "Deploy-Watch (announced)"}
    assert "deploywatch" not in {row[0] for row in await rows(scene)}


async def test_a_line_end_in_a_name_forges_no_line(ground: Ground) -> None:
    scene = await asking(ground)
    async with front_of(scene) as front:
        answer = await front("POST", "/incidents/1/acknowledge", {"by": "ann\n00:00 resolved by\x1b[2J boss"})
    assert answer.data["acknowledged_by"] == "ann 00:00 resolved by[2J boss"


async def test_who_deployed_does_not_approve(ground: Ground) -> None:
    scene = await asking(ground, not_deployer=True)
    deployment = await scene.read(lambda c: ledger.latest(c, "shop", "production"))
    assert deployment is not None
    by_ann = Approval.model_validate({"not_deployer": True})
    for who, deployer, good in (
        (Answerer(frozenset({"ann"})), "ann", False),
        (Answerer(frozenset({"ann"})), "Ann", False),
        (Answerer(frozenset({"U1"}), frozenset({"ann"})), "ann", False),
        (Answerer(), "bob", False),
        (Answerer(frozenset({"ann"})), "", False),
        (Answerer(frozenset({"ann"})), "bob", True),
    ):
        assert (approvers.refused(by_ann, who, replace(deployment, deployer=deployer)) == "") is good
    assert approvers.refused(by_ann, Answerer(frozenset({"ann"})), None)
