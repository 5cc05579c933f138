"""Who acts: on each route of the API that changes something, the verified name is written down, whatever is claimed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from deploywatch.receiver.store.people_schema import audit
from tests.receiver.actions.ground import Ground, critical
from tests.receiver.actions.rollback.test_slack_approval import SLACK
from tests.receiver.front import front_of
from tests.support.routes import receiver_server, routes

PLACE = {"service": "shop", "environment": "production"}
WORD = {"by": "bob", "note": "x"}
RUN = {"outcome": "rolled_back", "started_at": "2026-05-01T12:00:00Z", "finished_at": "2026-05-01T12:01:00Z"}
ACTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/incidents/1/approve", {"by": "bob"}),
    ("POST", "/incidents/1/acknowledge", WORD),
    ("POST", "/incidents/acknowledge", {"by": "bob", "incidents": [1]}),
    ("POST", "/incidents/1/comment", WORD),
    ("POST", "/incidents/1/commander", {"by": "bob"}),
    ("POST", "/incidents/1/mitigate", WORD),
    ("POST", "/incidents/1/update", WORD),
    ("POST", "/incidents/1/check", {"by": "bob", "item": 1}),
    ("POST", "/incidents/1/rollback", WORD),
    ("POST", "/incidents/1/resolve", {**WORD, "force": True}),
    ("POST", "/incidents/1/review", WORD),
    ("POST", "/rollbacks/allow", {**WORD, **PLACE}),
    ("POST", "/deployments", {**PLACE, "version": "9", "deployer": "bob"}),
    ("PATCH", "/deployments/3", {"status": "success"}),
    ("POST", "/deployments/import", {"records": [{**PLACE, "version": "1", "timestamp": "2026-01-01T00:00:00Z"}]}),
    ("POST", "/migrations", {"by": "bob", "name": "n", **RUN, **PLACE}),
    ("POST", "/gate/approvals", {**WORD, **PLACE, "version": "9", "role": "lead"}),
    ("POST", "/gate/approvals/1/withdraw", {"by": "bob"}),
    ("POST", "/gate/records", {"by": "bob", "kind": "backup", "detail": "x", **PLACE}),
    ("POST", "/maintenance", {"by": "bob", "reason": "x", "lasts": "1h", **PLACE}),
    ("POST", "/maintenance/1/end", {"by": "bob"}),
    ("POST", "/screens", {"by": "bob", "name": "wall"}),
    ("POST", "/screens/1/revoke", {"by": "bob"}),
)
ELSEWHERE = {
    "/incidents/{id}/reject": "test_approvers: it answers the question that is approved above",
    "/incidents/{id}/postmortem": "test_postmortem: an edition needs one that is written",
    "/deployments/{id}/stages": "test_stages: it needs a plan",
    "/deployments/{id}/accept": "test_stages: it needs a stage that holds",
    "/gate": "it asks, and is audited only where it opens",
    "/approval": "test_approvals: a signed link says who",
    "/taken": "test_taking_link: a signed link says who",
}


async def test_the_verified_name_is_written_down_on_each_route_that_acts(ground: Ground) -> None:
    scene = await ground.scene(mode="approve", approval={"within": "15m"}, beside={"channels": {"team": SLACK}})
    await scene.take(critical())
    await scene.drain()
    async with front_of(scene, user="ann") as front:
        for method, path, body in ACTS:
            before = await scene.read(lambda c: len(c.execute(select(audit)).all()))
            answer = await front(method, path, body)
            assert answer.status in (200, 201, 202), (path, answer)
            rows = await scene.read(lambda c: c.execute(select(audit.c.who, audit.c.verified, audit.c.what)).all())
            assert len(rows) > before, f"{path} is not in the audit"
            assert {(row.who, row.verified) for row in rows} == {("ann", True)}


async def test_each_route_that_acts_is_tried(tmp_path: Any) -> None:
    server = await receiver_server(tmp_path)
    written = {
        route.path.removeprefix("/api/v1")
        for route in routes(server)
        if route.method != "GET" and "/api/" in route.path
    }
    tried = {path.replace("/1/", "/{id}/").replace("/3", "/{id}") for _, path, _ in ACTS}
    assert tried | set(ELSEWHERE) == written
