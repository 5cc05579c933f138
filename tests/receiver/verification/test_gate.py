"""The gate: everything that lacks at once, each with what to do; what cannot be told is never open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from deploywatch.receiver.actions import target_lock
from deploywatch.receiver.deployments import approvals, gate_records, ledger
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.verification import gate, measured_requirements
from deploywatch.receiver.verification.gate import Gate, GateState
from deploywatch.receiver.verification.question import Asked, Question, Standing, facts
from deploywatch.verdict.plan import Plan
from deploywatch.verdict.plan_parts import Counts, Requirement
from deploywatch.verdict.values import Answer
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import Scene, alert
from tests.receiver.verification.conftest import Past, begin, configured

ASKED = Asked("well", "production", "1.2.4", artifact="shop@sha256:1", deployer="carl")
ONCALL = {
    "people": {"ann": {"channels": ["team"]}},
    "rotations": {"first": {"people": ["ann"], "starts": "2024-01-01", "zone": "UTC"}},
    "teams": {"shop": {"primary": "first", "services": ["well"]}},
}
READY: dict[str, Any] = {
    "rollback": {"targets": [{"command": ["/bin/true"], "verify": {"url": "http://127.0.0.1:1/"}}]},
    "oncall": ONCALL,
}


@pytest.fixture
def ready(make_scene: MakeScene, past: Past) -> Scene:
    """A receiver that has all that the gate asks of its configuration."""
    return make_scene(configured(past, **READY))


async def approve(scene: Scene, by: str, role: str, **changes: Any) -> None:
    """Somebody approves the deployment."""
    now = scene.clock.now
    given = {
        "service": ASKED.service,
        "environment": ASKED.environment,
        "version": ASKED.version,
        "artifact": ASKED.artifact,
        "role": role,
        "by": by,
        "verified": True,
        "note": "",
        "at": now,
        "expires_at": now + timedelta(hours=24),
    }
    await scene.context.store.write(lambda c: approvals.give(c, **{**given, **changes}))


async def recorded(scene: Scene, kind: str, ago: timedelta = timedelta(hours=1)) -> None:
    """Something was done."""
    now = scene.clock.now
    await scene.context.store.write(
        lambda c: gate_records.add(
            c,
            service=ASKED.service,
            environment=ASKED.environment,
            kind=kind,
            at=now - ago,
            recorded_at=now,
            by="cron",
            detail="",
        )
    )


async def staged(scene: Scene, verdict: str = "promote", artifact: str = ASKED.artifact) -> None:
    """The version was deployed to staging, and judged."""
    now = scene.clock.now

    def write(connection: Connection) -> None:
        begun = ledger.start(
            connection,
            service=ASKED.service,
            environment="staging",
            version=ASKED.version,
            started_at=now - timedelta(hours=2),
            artifact=artifact,
        )
        ledger.finish(connection, begun.id, Status.SUCCEEDED, now)
        ledger.judge(connection, begun.id, verdict, now)

    await scene.context.store.write(write)


async def opened(scene: Scene) -> None:
    """Do everything that the gate asks for."""
    await scene.deployed("1.2.3", ago=timedelta(days=1), service=ASKED.service)
    await approve(scene, "ann", "tech-lead")
    await approve(scene, "bob", "product-manager")
    await recorded(scene, "backup")
    await recorded(scene, "security-scan")
    await staged(scene)


def standing(found: Gate) -> dict[str, Standing]:
    """How each requirement stands."""
    return {check.require.split()[0]: check.standing for check in found.checks}


async def test_with_all_that_is_asked_for_the_gate_is_open(ready: Scene) -> None:
    await opened(ready)
    found = await gate.look(ready.context, ASKED)
    assert found.state is GateState.OPEN, found.to_json()
    assert {check.standing for check in found.checks} == {Standing.OPEN}


async def test_while_a_rollback_changes_the_target_the_gate_is_closed(ready: Scene) -> None:
    await opened(ready)
    by, now = "the rollback of deployment 1", ready.clock.now
    await ready.context.store.write(lambda c: target_lock.take(c, ASKED.service, ASKED.environment, by, now))
    found = await gate.look(ready.context, ASKED)
    assert found.state is GateState.CLOSED
    assert found.checks[-1].detail == f"{ASKED.service} in {ASKED.environment} is in the hands of {by}"


async def test_everything_that_lacks_is_listed_at_once_each_with_what_to_do(make_scene: MakeScene, past: Past) -> None:
    scene = make_scene(configured(past))
    await scene.deployed("1.2.4", ago=timedelta(days=1), service=ASKED.service)
    await scene.take(alert(service=ASKED.service))
    found = await gate.look(scene.context, ASKED)
    assert found.state is GateState.CLOSED
    assert standing(found) == {
        "approval": Standing.WAITING,
        "capacity": Standing.OPEN,
        "backup": Standing.CLOSED,
        "record": Standing.CLOSED,
        "on_call": Standing.CLOSED,
        "rollback_target": Standing.CLOSED,
        "monitoring": Standing.OPEN,
        "baseline": Standing.OPEN,
        "no_open_incident": Standing.CLOSED,
        "change_window": Standing.OPEN,
        "staging_verified": Standing.CLOSED,
    }
    assert all(check.advice for check in found.checks if check.standing is not Standing.OPEN)


async def test_where_only_approvals_lack_it_waits(ready: Scene) -> None:
    await opened(ready)
    other = Asked("well", "production", "1.2.4", artifact="shop@sha256:2", deployer="carl")
    await staged(ready, artifact="shop@sha256:2")
    found = await gate.look(ready.context, other)
    assert found.state is GateState.WAITING
    (approval,) = [check for check in found.checks if check.standing is Standing.WAITING]
    assert "that was for shop@sha256:1, not for shop@sha256:2" in approval.detail
    assert "--artifact shop@sha256:2 --role tech-lead" in approval.advice


@pytest.mark.parametrize(
    ("lead", "manager", "text"),
    [
        ({"by": "ann"}, {"by": "ann"}, "product-manager has not approved it"),
        ({"by": "Ann"}, {"by": "ann"}, "product-manager has not approved it"),
        ({"by": "carl"}, {"by": "bob"}, "who deploys may not approve it"),
        ({"by": "CARL"}, {"by": "bob"}, "who deploys may not approve it"),
        ({"by": "ann for carl"}, {"by": "bob"}, "who deploys may not approve it"),
        ({"by": "ann", "expires_at": None}, {"by": "bob"}, "expired at"),
        ({"by": "ann", "artifact": ""}, {"by": "bob"}, "not for shop@sha256:1"),
    ],
    ids=[
        "one person twice",
        "one person in two spellings",
        "the deployer",
        "the deployer in capitals",
        "the deployer by another's credential",
        "expired",
        "another artifact",
    ],
)
async def test_whose_approval_counts(ready: Scene, lead: dict[str, Any], manager: dict[str, Any], text: str) -> None:
    for role, given in (("tech-lead", lead), ("product-manager", manager)):
        changes = dict(given)
        if "expires_at" in changes:
            changes["expires_at"] = ready.clock.now
        await approve(ready, role=role, **changes)
    found = await gate.look(ready.context, ASKED)
    (approval,) = [check for check in found.checks if check.require.startswith("approval")]
    assert approval.standing is Standing.WAITING
    assert text in approval.detail


@pytest.mark.parametrize("nobody", ["", "  ", "\u3000"])
async def test_where_nobody_says_who_deploys_no_approval_counts_and_the_gate_says_what_to_do(
    ready: Scene, nobody: str
) -> None:
    await opened(ready)
    found = await gate.look(ready.context, replace(ASKED, deployer=nobody))
    (approval,) = [check for check in found.checks if check.require.startswith("approval")]
    assert approval.standing is Standing.WAITING
    assert "ann as tech-lead: nobody says who deploys, and who deploys may not approve it" in approval.detail
    assert approval.advice == "ask again with the name of who deploys: --deployer, or `deployer` in the request"


async def test_two_people_who_each_have_both_roles_are_two(ready: Scene) -> None:
    await approve(ready, "ann", "product-manager")
    await approve(ready, "ann", "tech-lead")
    await approve(ready, "bob", "product-manager")
    found = await gate.look(ready.context, ASKED)
    assert standing(found)["approval"] is Standing.OPEN


async def test_an_approval_grows_old(ready: Scene) -> None:
    await opened(ready)
    ready.clock.advance(timedelta(hours=24))
    assert standing(await gate.look(ready.context, ASKED))["approval"] is Standing.WAITING


async def test_an_old_backup_is_none(ready: Scene) -> None:
    await recorded(ready, "backup", ago=timedelta(hours=25))
    found = await gate.look(ready.context, ASKED)
    (backup,) = [check for check in found.checks if check.require == "backup"]
    assert (backup.standing, backup.detail) == (
        Standing.CLOSED,
        "the last backup is 1d1h old, and must not be older than 1d",
    )


async def test_a_rollback_is_never_gated(make_scene: MakeScene, past: Past) -> None:
    scene = make_scene(configured(past))
    found = await gate.look(scene.context, Asked("well", "production", "1.2.3", rollback=True))
    assert found.state is GateState.OPEN


async def test_without_prometheus_the_gate_cannot_be_told_and_is_not_open(ready: Scene) -> None:
    await opened(ready)
    settings = ready.context.settings
    assert settings.prometheus is not None
    ready.context.settings = settings.model_copy(
        update={"prometheus": settings.prometheus.model_validate({"url": "http://127.0.0.1:1"})}
    )
    found = await gate.look(ready.context, ASKED)
    assert found.state is GateState.UNKNOWN
    unknown = {check.require for check in found.checks if check.standing is Standing.UNKNOWN}
    assert unknown == {"capacity", "monitoring", "baseline"}


async def test_a_service_that_nobody_measures_has_no_monitoring(ready: Scene) -> None:
    found = await gate.look(ready.context, Asked("unknown", "production", "1.2.4"))
    (monitoring,) = [check for check in found.checks if check.require == "monitoring"]
    assert monitoring.standing is Standing.CLOSED
    assert "requests of the old version" in monitoring.detail
    assert standing(found)["capacity"] is Standing.UNKNOWN


async def test_what_the_verdict_could_not_count_by_is_no_monitoring(ready: Scene, past: Past) -> None:
    many, none, fraction = 'http_requests_total{service="well"}', 'up{instance="nobody"}', "vector(1.5)"
    (limit,) = past.plan.limits
    counts = {"old": Counts(requests=many, bad=none), "whole": Counts(requests=fraction, bad="vector(1) / 0")}
    infinite = past.plan.watch[0].model_copy(update={"query": "vector(-1) / 0"})
    plan = past.plan.model_copy(update={"limits": (limit.model_copy(update=counts),), "watch": (infinite,)})
    found = await measured_requirements.monitoring(await _asked(ready, plan))
    assert found.standing is Standing.CLOSED
    for said in (
        "5 of 5 queries have no value",
        "requests of the old version (4 series where one is due)",
        "bad requests of the old version,",
        "requests of the service (it is 1.5, which is no count)",
        "bad requests of the service (it is inf, which is no count)",
        infinite.name,
    ):
        assert said in found.detail


async def test_capacity_that_one_series_does_not_tell_is_unknown(ready: Scene, past: Past) -> None:
    free = 'label_replace(vector(0.1), "pod", "a", "", "")'
    for query, standing_of in ((free, Standing.OPEN), (f"{free} or vector(0) / 0", Standing.UNKNOWN)):
        wanted = past.plan.watch[0].model_copy(update={"query": query, "operator": "<", "threshold": 0.7})
        requirement = Requirement(require="capacity", watch=wanted)
        found = await measured_requirements.capacity(await _asked(ready, past.plan, requirement))
        assert found.standing is standing_of, found


async def _asked(scene: Scene, plan: Plan, wanted: Requirement | None = None) -> Question:
    now, wanted = scene.clock.now, wanted or Requirement(require="monitoring")
    known = await scene.read(lambda c: facts(c, ASKED, (), now))
    return Question(scene.context, plan, ASKED, known, wanted)


async def test_while_one_gate_waits_what_runs_goes_on_being_judged(make_scene: MakeScene, past: Past) -> None:
    scene = make_scene(configured(past, **READY))
    runs = await begin(scene, past, "late-bad")
    async with front_of(scene) as front:
        stood = []
        for _ in range(16):
            await runs.on(0.5)
            found = await front("GET", "/gate?service=late-bad&environment=production&version=1.2.5&deployer=carl")
            stood.append(found.data["state"])
    # It never opened, since nobody approved; and the version that runs was found bad all the while.
    assert "open" not in stood
    assert len(stood) == 16
    verdict = await runs.verdict()
    assert (verdict.answer, len(await runs.looks())) == (Answer.ROLL_BACK, verdict.look)
    assert [look.number for look in await runs.looks()] == list(range(1, verdict.look + 1))


async def test_capacity_that_is_used_closes_the_gate(ready: Scene) -> None:
    found = await gate.look(ready.context, Asked("hot", "production", "1.2.4"))
    (capacity,) = [check for check in found.checks if check.require == "capacity"]
    assert (capacity.standing, capacity.detail) == (Standing.CLOSED, "cpu < 70% does not hold: it is 0.95")


async def test_without_a_plan_nobody_knows_what_is_asked_for(ready: Scene) -> None:
    found = await gate.look(ready.context, Asked("well", "development", "1.2.4"))
    assert found.state is GateState.UNKNOWN
    assert "no verification plan covers well in development" in found.checks[0].detail


async def test_an_incident_that_the_deployment_fixes_is_no_obstacle(ready: Scene) -> None:
    await ready.take(alert(service=ASKED.service))
    incident = await ready.incident()
    closed = await gate.look(ready.context, ASKED)
    assert standing(closed)["no_open_incident"] is Standing.CLOSED
    fixing = Asked("well", "production", "1.2.4", fixes=incident.id)
    assert standing(await gate.look(ready.context, fixing))["no_open_incident"] is Standing.OPEN


async def test_what_staging_was_judged_counts_and_not_what_its_pipeline_said(ready: Scene) -> None:
    await staged(ready, verdict="roll_back")
    found = await gate.look(ready.context, ASKED)
    (verified,) = [check for check in found.checks if check.require.startswith("staging_verified")]
    assert (verified.standing, verified.detail) == (
        Standing.CLOSED,
        "1.2.4 was not promoted in staging: roll_back",
    )


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        ({"freezes": [{"name": "Christmas", "at": "00:00", "lasts": "24h"}]}, Standing.CLOSED),
        ({"change_windows": [{"name": "day", "at": "00:00", "lasts": "24h"}]}, Standing.OPEN),
        ({"change_windows": [{"name": "other", "service": "x", "at": "00:00", "lasts": "24h"}]}, Standing.OPEN),
        ({"change_windows": [{"name": "never", "at": "00:00", "lasts": "1s"}]}, Standing.CLOSED),
    ],
)
async def test_changes_have_their_windows(
    make_scene: MakeScene, past: Past, windows: dict[str, Any], wanted: Standing
) -> None:
    scene = make_scene(configured(past, verification=windows))
    assert standing(await gate.look(scene.context, ASKED))["change_window"] is wanted


async def test_roles_are_the_names_that_the_server_verified(make_scene: MakeScene, past: Past) -> None:
    scene = make_scene(configured(past, verification={"roles": {"tech-lead": ["ann"]}}))
    body = {"by": "ann", "service": "well", "environment": "production", "version": "1.2.4", "role": "tech-lead"}
    async with front_of(scene) as stranger:
        refused = await stranger("POST", "/gate/approvals", body)
        assert refused.status == 403
        assert "nobody verified that this is ann" in refused.data
    async with front_of(scene, user="bob") as other:
        refused = await other("POST", "/gate/approvals", body)
        assert (refused.status, "bob is no tech-lead" in refused.data) == (403, True)
    async with front_of(scene, user="ann") as ann:
        given = await ann("POST", "/gate/approvals", body)
        assert (given.status, given.data["by"], given.data["verified"]) == (201, "ann", True)
        withdrawn = await ann("POST", f"/gate/approvals/{given.data['id']}/withdraw", {"by": "ann"})
        assert withdrawn.data["withdrawn_by"] == "ann"


async def test_the_api_answers_the_gate_and_says_what_is_wrong_with_a_question(ready: Scene) -> None:
    async with front_of(ready) as front:
        found = await front("GET", "/gate?service=well&environment=production&version=1.2.4")
        assert (found.status, found.data["state"], found.data["policy"]) == (200, "closed", "shop")
        lacking = await front("GET", "/gate?service=well")
        assert lacking.status == 400
        assert "environment" in lacking.data
        assert "version" in lacking.data
        made = await front(
            "POST",
            "/gate/records",
            {"by": "cron", "service": "well", "environment": "production", "kind": "backup", "detail": "s3://1"},
        )
        assert (made.status, made.data["kind"]) == (201, "backup")
