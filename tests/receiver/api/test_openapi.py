"""The OpenAPI document: valid, committed as it is made, and kept to by every route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from deploywatch.receiver import api as rooms
from tests.receiver.front import Front
from tests.receiver.scene import MINUTE, alert, ended

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
ANN = {"by": "ann"}
MIGRATION = {
    "by": "ann",
    "service": "shop",
    "environment": "production",
    "name": "orders by day",
    "outcome": "committed",
    "started_at": "2026-05-01T11:58:00Z",
    "finished_at": "2026-05-01T11:59:00Z",
}
NEW = {"service": "shop", "environment": "production", "version": "1.2.4"}

# A day of the API: what is asked, in this order, and the status that is expected.
CALLS: list[tuple[str, str, Any, int]] = [
    ("GET", "/incidents?severity=high,critical&service=shop&environment=production&status=open&limit=5", None, 200),
    ("GET", "/incidents/1", None, 200),
    ("POST", "/incidents/1/acknowledge", ANN, 200),
    ("POST", "/incidents/1/commander", {**ANN, "leader": "bob"}, 200),
    ("POST", "/incidents/1/mitigate", ANN, 200),
    ("POST", "/incidents/1/update", {**ANN, "note": "half of the shop is back", "next_in": "10m"}, 200),
    ("POST", "/incidents/1/comment", {**ANN, "note": "the cache was cold"}, 200),
    ("POST", "/incidents/1/check", {**ANN, "item": 1}, 200),
    ("POST", "/incidents/1/rollback", ANN, 202),
    ("POST", "/incidents/1/approve", ANN, 404),
    ("POST", "/incidents/1/reject", ANN, 404),
    ("GET", "/incidents/1/actions", None, 200),
    ("POST", "/incidents/1/resolve", {**ANN, "force": True}, 200),
    ("POST", "/incidents/1/review", ANN, 200),
    ("GET", "/incidents/1", None, 200),
    ("GET", "/incidents/1/postmortem", None, 200),
    ("GET", "/incidents?severity=dire", None, 400),
    ("GET", "/attachments/1", None, 404),
    ("POST", "/rollbacks/allow", {**ANN, "service": "shop", "environment": "production"}, 200),
    ("GET", "/approval?id=1&answer=yes", None, 403),
    ("POST", "/approval?id=1&answer=yes", None, 400),
    ("GET", "/taken?incident=1&who=ann", None, 403),
    ("POST", "/taken?incident=1&who=ann", None, 403),
    ("POST", "/deployments", NEW, 201),
    ("GET", "/deployments?service=shop", None, 200),
    ("GET", "/deployments/2", None, 200),
    ("POST", "/deployments/import", {"records": [{**NEW, "timestamp": "2026-01-01T00:00:00Z"}]}, 200),
    ("PATCH", "/deployments/2", {"status": "success"}, 200),
    ("GET", "/deployments/2/stages", None, 200),
    ("POST", "/deployments/2/stages", {"stage": "canary-10"}, 409),
    ("GET", "/deployments/2/verdict", None, 404),
    ("GET", "/deployments/2/assessments?limit=3", None, 200),
    ("GET", "/deployments/2/report", None, 200),
    ("GET", "/deployments/99/report?format=html", None, 404),
    ("GET", "/deployments/2/report?format=pdf", None, 400),
    ("POST", "/deployments/2/accept", {**ANN, "why": "it is night"}, 409),
    ("GET", "/gate?service=shop&environment=production&version=1.2.5&deployer=carl&rollback=true", None, 200),
    ("GET", "/gate?service=shop", None, 400),
    ("GET", "/delivery?over=30d&service=shop", None, 200),
    ("GET", "/delivery?over=never", None, 400),
    ("GET", "/deployments/1/assessments", None, 200),
    ("GET", "/deployments/1/report", None, 200),
    ("POST", "/incidents/acknowledge", {**ANN, "incidents": [1]}, 200),
    ("GET", "/deployments/1/performance", None, 409),
    ("GET", "/deployments/1/performance?days=0", None, 400),
    ("POST", "/migrations", MIGRATION, 201),
    ("GET", "/migrations?service=shop", None, 200),
    ("POST", "/gate", {"service": "shop", "environment": "production", "version": "1.2.5"}, 200),
    ("POST", "/gate/approvals", {**ANN, **NEW, "role": "tech-lead"}, 201),
    ("POST", "/gate/approvals/1/withdraw", ANN, 200),
    ("POST", "/gate/records", {**ANN, "service": "shop", "environment": "production", "kind": "backup"}, 201),
    ("POST", "/maintenance", {**ANN, "service": "shop", "lasts": "1h", "reason": "move"}, 201),
    ("GET", "/maintenance", None, 200),
    ("POST", "/maintenance/1/end", ANN, 200),
    ("POST", "/screens", {**ANN, "name": "operations room"}, 201),
    ("GET", "/screens", None, 200),
    ("POST", "/incidents/1/postmortem", {**ANN, "text": "# Why", "version": 0}, 200),
    ("POST", "/incidents/1/postmortem", {**ANN, "text": "# Other", "version": 0}, 409),
    ("POST", "/screens/1/revoke", ANN, 200),
    ("GET", "/oncall?at=2026-05-01T12:00:00Z", None, 200),
    ("GET", "/oncall?at=tomorrow", None, 400),
    ("GET", "/audit?incident=1&who=ann&limit=3", None, 200),
    ("GET", "/taken?incident=1&who=ann&expires=1&signature=x", None, 403),
    ("POST", "/taken?incident=1&who=ann&expires=1&signature=x", None, 403),
    ("GET", "/openapi.json", None, 200),
]


def _template(path: str) -> str:
    plain = path.partition("?")[0]
    return "/api/v1" + "/".join("{id}" if word.isdigit() else word for word in plain.split("/"))


def _resolved(document: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    reference = response.get("$ref", "")
    return document["components"]["responses"][reference.rpartition("/")[2]] if reference else response


def test_the_document_is_valid() -> None:
    validate(json.loads(rooms.described()))


def test_the_committed_document_is_what_the_routes_make() -> None:
    assert COMMITTED.read_text() == rooms.described(), "run: python -m deploywatch.receiver.api > docs/openapi.json"


async def test_every_route_answers_as_the_document_says(api: Front) -> None:
    document = json.loads(rooms.described())
    await api.scene.deployed("1.2.3", ago=MINUTE)
    await api.scene.take(alert(severity="critical"), alert("HighLatency"))
    await api.scene.take(ended(alert("HighLatency")))
    await api.scene.drain()
    asked = set()
    for method, path, body, status in CALLS:
        answer = await api(method, path, body)
        assert answer.status == status, (path, answer.data)
        operation = document["paths"][_template(path)][method.lower()]
        asked.add((method.lower(), _template(path)))
        responses = operation["responses"]
        content = _resolved(document, responses.get(str(status), responses["default"]))["content"]
        if "application/json" in content:
            schema = {**content["application/json"]["schema"], "components": document["components"]}
            checked = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
            assert list(checked.iter_errors(answer.data)) == [], path
        else:
            assert isinstance(answer.data, str), path
        await api.scene.drain()
    documented = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert documented - asked == set()


@pytest.mark.parametrize("path", ["/api/v1/incidents/{id}/acknowledge", "/api/v1/maintenance"])
def test_what_a_body_must_have_is_in_the_document(path: str) -> None:
    document = json.loads(rooms.described())
    name = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "by" in document["components"]["schemas"][name.rpartition("/")[2]]["required"]
