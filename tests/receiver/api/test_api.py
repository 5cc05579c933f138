"""The HTTP API: every route, what it refuses and how, over real HTTP."""

from __future__ import annotations

import sqlite3
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.story import Event
from tests.receiver.front import Front
from tests.receiver.scene import HOUR, MINUTE, NOON, alert, ended

ANN = {"by": "ann"}
NEW: dict[str, Any] = {"service": "shop", "environment": "production", "version": "1.2.3"}


async def test_incidents_are_listed_the_newest_first(api: Front) -> None:
    await api.scene.take(alert(), alert(service="search"))
    data = (await api("GET", "/incidents")).data
    assert [(row["id"], row["service"], row["status"]) for row in data] == [(2, "search", "open"), (1, "shop", "open")]
    assert [row["id"] for row in (await api("GET", "/incidents?limit=1")).data] == [2]


async def test_the_resolved_are_left_out_on_request(api: Front) -> None:
    await api.scene.take(alert(), alert(service="search"))
    await api("POST", "/incidents/1/resolve", {**ANN, "force": True})
    assert [row["id"] for row in (await api("GET", "/incidents?status=open")).data] == [2]


async def test_one_incident_is_shown_whole(api: Front) -> None:
    fired = alert(severity="critical", annotations={"summary": "5% fail"})
    await api.scene.take(fired, alert("HighLatency"))
    await api.scene.take(ended(alert("HighLatency")))
    whole = (await api("GET", "/incidents/1")).data
    assert (whole["title"], whole["severity"], whole["opened_at"]) == ("5% fail", "critical", NOON.isoformat())
    assert {alert["name"]: alert["firing"] for alert in whole["alerts"]} == {
        "HighErrorRate": True,
        "HighLatency": False,
    }
    assert whole["alerts"][1]["ends_at"] == (NOON + MINUTE).isoformat()
    resolution = [item["text"] for item in whole["checklist"]["resolution"]]
    assert resolution == ["Fix the root cause", "Deploy the fix", "Verify the resolution"]
    assert [line["kind"] for line in whole["timeline"]] == ["opened", "escalated", "joined", "alert_resolved"]
    assert whole["rollbacks"] == []


async def test_an_acknowledgement_is_noted_and_told_once(api: Front) -> None:
    await api.scene.take(alert())
    first = await api("POST", "/incidents/1/acknowledge", {**ANN, "note": "on my way"})
    second = await api("POST", "/incidents/1/acknowledge", {"by": "bob"})
    await api.scene.drain()
    assert (first.data["status"], first.data["acknowledged_by"]) == ("acknowledged", "ann")
    assert second.data["acknowledged_by"] == "ann"
    assert await api.scene.lines("acknowledged") == ["on my way"]
    assert api.scene.channels["team"].events == [Event.OPENED, Event.ACKNOWLEDGED]
    assert api.woken


async def test_a_person_can_end_an_incident(api: Front) -> None:
    await api.scene.take(alert())
    api.scene.clock.advance(HOUR)
    answer = await api("POST", "/incidents/1/resolve", {**ANN, "force": True, "note": "a false alarm"})
    await api.scene.drain()
    assert (answer.data["status"], answer.data["resolved_by"]) == ("resolved", "ann")
    assert answer.data["duration_seconds"] == 3600
    assert await api.scene.lines("resolved") == ["resolved: a false alarm"]
    assert api.scene.channels["team"].events == [Event.OPENED, Event.RESOLVED]


async def test_a_comment_goes_to_the_timeline_with_its_author(api: Front) -> None:
    await api.scene.take(alert())
    assert (await api("POST", "/incidents/1/comment", {**ANN, "note": "looks like the cache"})).status == 200
    (line,) = [entry for entry in (await api("GET", "/incidents/1")).data["timeline"] if entry["kind"] == "comment"]
    assert (line["actor"], line["text"]) == ("ann", "looks like the cache")


async def test_the_review_is_drafted_as_markdown(api: Front) -> None:
    await api.scene.take(alert(annotations={"summary": "5% fail"}))
    draft = await api("GET", "/incidents/1/postmortem")
    assert draft.status == 200
    assert draft.data.startswith("# ")
    assert "HighErrorRate" in draft.data


async def test_a_deployment_begins_and_ends(api: Front) -> None:
    begun = await api("POST", "/deployments", {**NEW, "deployer": "ci", "strategy": "rolling", "ports": [80]})
    assert (begun.status, begun.data["status"], begun.data["timestamp"]) == (201, "running", NOON.isoformat())
    api.scene.clock.advance(MINUTE)
    done = await api("PATCH", "/deployments/1", {"status": "success"})
    assert (done.data["status"], done.data["duration_seconds"]) == ("succeeded", 60)
    assert (await api("GET", "/deployments/1")).data == done.data


PAST = {**NEW, "timestamp": "2026-04-30T10:00:00Z", "status": "success"}
LATER = {**PAST, "timestamp": "2026-04-30T11:00:00Z"}


async def test_records_are_taken_in_together_and_a_second_time_changes_nothing(api: Front) -> None:
    sent = {"records": [PAST, {**LATER, "version": "1.2.2", "rollback_of": "1.2.3"}]}
    assert (await api("POST", "/deployments/import", sent)).data == {"new": 2, "known": 0, "notices": []}
    again = {"records": [{**PAST, "status": "failure"}, *sent["records"]]}
    answer = await api("POST", "/deployments/import", again)
    notice = "$.records[0]: deployment 1 of 1.2.3 is rolled_back already, and does not become failed"
    other = "$.records[1]: deployment 1 of 1.2.3 is rolled_back already, and does not become succeeded"
    assert answer.data == {"new": 0, "known": 3, "notices": [notice, other]}
    listed = (await api("GET", "/deployments")).data
    assert [(row["version"], row["status"]) for row in listed] == [("1.2.2", "succeeded"), ("1.2.3", "rolled_back")]


async def test_of_records_that_the_ledger_cannot_take_every_one_is_told_and_none_is_taken_in(api: Front) -> None:
    unknown = [{**LATER, "version": "1.1", "rollback_of": version} for version in ("0.8", "0.9")]
    answer = await api("POST", "/deployments/import", {"records": [unknown[0], PAST, unknown[1]]})
    assert answer.status == 400
    assert [line.partition(":")[0] for line in answer.data.splitlines()] == [
        "$.records[0].rollback_of",
        "$.records[2].rollback_of",
    ]
    assert (await api("GET", "/deployments")).data == []
    assert not api.woken


async def test_of_records_that_are_bad_by_themselves_every_fault_is_told(api: Front) -> None:
    begins = {**NEW, "timestamp": "2026-06-01T10:00:00Z", "deployer": "deploywatch"}
    answer = await api("POST", "/deployments/import", {"records": [PAST, begins], "check": True})
    assert answer.data.splitlines() == [
        "$.records[1].timestamp: 2026-06-01T10:00:00+00:00 is in the future",
        "$.records[1].deployer: deploywatch is what it does by itself; write who you are",
    ]
    undated = await api("POST", "/deployments/import", {"records": [NEW, {**PAST, "ports": [0]}]})
    assert [line.partition(":")[0] for line in undated.data.splitlines()] == [
        "$.records[0].timestamp",
        "$.records[1].ports[0]",
    ]
    assert (await api("POST", "/deployments/import", {"records": [PAST], "check": True})).status == 200
    assert (await api("GET", "/deployments")).data == []


async def test_a_record_of_one_that_is_over_is_taken_in(api: Front) -> None:
    record = {**NEW, "timestamp": "2026-04-30T10:00:00+02:00", "status": "failure", "duration_seconds": 90}
    answer = await api("POST", "/deployments", record)
    assert answer.status == 201
    assert (answer.data["status"], answer.data["timestamp"]) == ("failed", "2026-04-30T08:00:00+00:00")
    assert answer.data["duration_seconds"] == 90


async def test_deployments_are_listed_and_narrowed(api: Front) -> None:
    for service, environment in (("shop", "production"), ("shop", "staging"), ("search", "production")):
        await api("POST", "/deployments", {**NEW, "service": service, "environment": environment})
    assert [row["id"] for row in (await api("GET", "/deployments")).data] == [3, 2, 1]
    assert [row["id"] for row in (await api("GET", "/deployments?service=shop&limit=1")).data] == [2]
    assert [row["id"] for row in (await api("GET", "/deployments?environment=production")).data] == [3, 1]


UNKNOWN = [
    ("GET", "/incidents/9", None),
    ("GET", "/incidents/9/postmortem", None),
    ("POST", "/incidents/9/acknowledge", ANN),
    ("POST", "/incidents/9/resolve", ANN),
    ("POST", "/incidents/9/comment", {**ANN, "note": "x"}),
    ("GET", "/deployments/9", None),
    ("PATCH", "/deployments/9", {"status": "success"}),
    ("GET", f"/deployments/{2**63}", None),
]


@pytest.mark.parametrize(("method", "path", "sent"), UNKNOWN)
async def test_a_number_that_does_not_exist_is_404(api: Front, method: str, path: str, sent: Any) -> None:
    answer = await api(method, path, sent)
    assert answer.status == 404
    assert answer.data.startswith("there is no ")


@pytest.mark.parametrize("digits", [20, 31, 5000])
@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "/incidents/{}", None),
        ("GET", "/attachments/{}", None),
        ("POST", "/incidents/{}/acknowledge", ANN),
        ("PATCH", "/deployments/{}", {"status": "success"}),
    ],
)
async def test_a_number_of_thousands_of_digits_is_400(
    api: Front, method: str, path: str, sent: Any, digits: int
) -> None:
    answer = await api(method, path.format("9" * digits), sent)
    assert (answer.status, "at most 19 digits" in answer.data) == (400, True)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"by=\xff\xfe"),
        ("application/x-www-form-urlencoded; charset=nobody-knows", b"by=ann"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=by\r\n\r\n\xff\r\n--x--"),
        (
            "multipart/form-data; boundary=x",
            (
                b"--x\r\nContent-Disposition: form-data; name=by\r\n"
                b"Content-Type: text/plain; charset=nobody\r\n\r\na\r\n--x--"
            ),
        ),
    ],
)
async def test_a_form_that_cannot_be_read_is_400(api: Front, content_type: str, body: bytes) -> None:
    headers = {"Content-Type": content_type}
    async with api.http.post(f"{approval.PAGE}?id=1&answer=yes", data=BytesIO(body), headers=headers) as answer:
        assert answer.status == 400


BAD: dict[str, tuple[str, str, Any, list[str]]] = {
    "not JSON": ("POST", "/deployments", b"hello", ["$: Invalid JSON"]),
    "nothing": ("POST", "/deployments", b"", ["$: Invalid JSON"]),
    "not UTF-8": ("POST", "/deployments", b'{"service":"\xff"}', ["$: Invalid JSON"]),
    "a list": ("POST", "/deployments", [], ["$: Input should be an object"]),
    "all missing": (
        "POST",
        "/deployments",
        {},
        ["$.service: Field required", "$.version: Field required", "$.environment: Field required"],
    ),
    "empty and unknown": (
        "POST",
        "/deployments",
        {**NEW, "service": "", "vversion": "1"},
        ["$.service: String should have at least 1 character", "$.vversion: Extra inputs are not permitted"],
    ),
    "too long": ("POST", "/deployments", {**NEW, "version": "1" * 201}, ["$.version: String should have at most 200"]),
    "a NUL": ("POST", "/deployments", {**NEW, "service": "sh\0op"}, ["$.service: String should match pattern"]),
    "ports": ("POST", "/deployments", {**NEW, "ports": [0, 65536]}, ["$.ports[0]: ", "$.ports[1]: "]),
    "status": ("POST", "/deployments", {**NEW, "status": "meh"}, ["$.status: Input should be 'success'"]),
    "no zone": (
        "POST",
        "/deployments",
        {**NEW, "timestamp": "2026-01-01T00:00:00"},
        ["$.timestamp: Input should have"],
    ),
    "before time": (
        "POST",
        "/deployments",
        {**NEW, "timestamp": "0001-01-01T00:00:00+05:00"},
        ["$.timestamp: Value error, is no time in UTC"],
    ),
    "in the future": (
        "POST",
        "/deployments",
        {**NEW, "timestamp": "2026-05-01T13:00:01Z"},
        ["$.timestamp: 2026-05-01T13:00:01+00:00 is in the future"],
    ),
    "endless": (
        "POST",
        "/deployments",
        {**NEW, "duration_seconds": 1e300},
        ["$.duration_seconds: Input should be less"],
    ),
    "infinite": ("POST", "/deployments", b'{"duration_seconds": Infinity}', ["$: Invalid JSON: Infinity is not JSON"]),
    "a finish without status": ("PATCH", "/deployments/1", {}, ["$.status: Field required"]),
    "nobody": ("POST", "/incidents/1/acknowledge", {}, ["$.by: Field required"]),
    "an empty person": ("POST", "/incidents/1/resolve", {"by": ""}, ["$.by: String should have at least 1"]),
    "an empty comment": ("POST", "/incidents/1/comment", ANN, ["$.note: Field required"]),
    "a long comment": (
        "POST",
        "/incidents/1/comment",
        {**ANN, "note": "x" * 4001},
        ["$.note: String should have at most"],
    ),
    "limit": ("GET", "/incidents?limit=many", None, ["limit=many: write a number from 1 to 1000"]),
    "limit 0": ("GET", "/incidents?limit=0", None, ["limit=0: "]),
    "limit in other digits": ("GET", "/deployments?limit=²", None, ["limit=²: "]),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_is_400_with_every_fault(api: Front, name: str) -> None:
    method, path, sent, faults = BAD[name]
    answer = await api(method, path, sent)
    assert answer.status == 400
    lines = answer.data.splitlines()
    assert all(any(line.startswith(fault) for line in lines) for fault in faults), lines


async def test_a_body_that_is_too_large_is_413(api: Front) -> None:
    assert (await api("POST", "/deployments", b" " * 1024**2 + b"{}")).status == 413


@pytest.mark.sqlite_only
async def test_a_store_that_cannot_be_written_is_503_and_reading_goes_on(api: Front, tmp_path: Path) -> None:
    await api.scene.take(alert())
    await api.scene.context.store.write(lambda c: c.exec_driver_sql("PRAGMA busy_timeout=20"))
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        refused = await api("POST", "/incidents/1/acknowledge", ANN)
        read = await api("GET", "/incidents/1")
    finally:
        other.close()
    assert (refused.status, refused.data) == (503, "the database failed: database is locked\n")
    assert read.status == 200
    assert (await api("POST", "/incidents/1/acknowledge", ANN)).status == 200
