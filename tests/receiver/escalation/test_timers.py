"""Which jobs are queued as time passes, and for when: read from the queue itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select, update

from deploywatch.receiver.escalation import timers
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.strategy import Severity
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.schema import jobs
from tests.receiver.scene import HOUR, MINUTE, NOON, settings

INCIDENT = Incident(7, "shop", "production", "high", "", "", (), NOON)
OTHER = replace(INCIDENT, id=8)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """An empty queue in memory, with the incidents that its jobs are about."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def configured(**more: Any) -> ReceiverConfig:
    steps = [{"after": "10m", "who": ["secondary"]}, {"after": "1h", "who": ["team_lead"], "channels": ["boss"]}]
    return settings("team", "boss", escalation={"steps": {"high": steps}}, **more)


def queued(connection: Connection, kind: str) -> list[tuple[str, datetime, dict[str, Any]]]:
    rows = connection.execute(select(jobs).where(jobs.c.kind == kind).order_by(jobs.c.id)).mappings()
    return [(row["key"], row["run_at"], dict(row["payload"])) for row in rows]


def test_what_begins_is_queued_once_for_a_severity(connection: Connection) -> None:
    timers.begin(connection, INCIDENT, NOON)
    timers.begin(connection, INCIDENT, NOON + HOUR)
    timers.begin(connection, replace(INCIDENT, severity="critical"), NOON + HOUR)
    assert queued(connection, timers.BEGIN) == [
        ("begin:7:high", NOON, {"severity": "high", "again": ""}),
        ("begin:7:critical", NOON + HOUR, {"severity": "critical", "again": ""}),
    ]


def test_the_reminder_and_the_steps_count_from_when_it_has_that_severity(connection: Connection) -> None:
    since = NOON + HOUR
    timers.deadlines(connection, configured(), INCIDENT, since)
    assert queued(connection, timers.REMINDER) == [
        ("reminder:7:high", since + 30 * MINUTE, {"severity": "high", "within": 1800.0, "again": ""})
    ]
    step = {"severity": "high", "again": "", "repeats": True, "falls_back": False}
    assert queued(connection, timers.STEP) == [
        (
            "escalation_step:7:high:1",
            since + 10 * MINUTE,
            {**step, "number": 1, "after": 600.0, "who": ["secondary"], "channels": []},
        ),
        (
            "escalation_step:7:high:2",
            since + HOUR,
            {**step, "number": 2, "after": 3600.0, "who": ["team_lead"], "channels": ["boss"]},
        ),
    ]


def test_the_step_of_the_sources_does_not_repeat_and_reaches_somebody(connection: Connection) -> None:
    timers.deadlines(connection, settings("team"), INCIDENT, NOON)
    ((key, at, payload),) = queued(connection, timers.STEP)
    assert (key, at) == ("escalation_step:7:high:1", NOON + 30 * MINUTE)
    assert (payload["repeats"], payload["falls_back"]) == (False, True)


def test_a_deadline_that_is_turned_off_reminds_nobody(connection: Connection) -> None:
    timers.deadlines(connection, configured(response={"deadlines": {"high": "0s"}}), INCIDENT, NOON)
    assert queued(connection, timers.REMINDER) == []
    assert len(queued(connection, timers.STEP)) == 2


HELD = replace(INCIDENT, acknowledged_at=NOON, acknowledged_by="ann")


def test_who_has_it_in_hand_is_reminded_of_updates_until_it_is_over(connection: Connection) -> None:
    due = timers.updates(connection, configured(), HELD, NOON + MINUTE)
    assert due == NOON + 31 * MINUTE
    assert queued(connection, timers.UPDATE) == [("update_due:7:", due, {})]


@pytest.mark.parametrize(
    "incident",
    [INCIDENT, replace(HELD, resolved_at=NOON), replace(HELD, severity="low")],
    ids=["nobody", "over", "low"],
)
def test_no_update_is_due_of_what_nobody_has_or_is_over_or_needs_none(
    connection: Connection, incident: Incident
) -> None:
    assert timers.updates(connection, configured(), incident, NOON) is None
    assert queued(connection, timers.UPDATE) == []


def test_a_promise_moves_only_the_waiting_update_of_its_incident(connection: Connection) -> None:
    promised = NOON + 2 * HOUR
    for incident in (HELD, replace(HELD, id=8), replace(HELD, id=6)):
        timers.updates(connection, configured(), incident, NOON)
        timers.review(connection, configured(), incident, NOON)
    connection.execute(update(jobs).where(jobs.c.incident_id == 8).values(state=State.RUNNING))
    timers.updates(connection, configured(), replace(HELD, id=9), NOON)
    connection.execute(update(jobs).where(jobs.c.incident_id == 9).values(state=State.DONE))
    for number in (7, 8, 9):
        timers.promise(connection, replace(HELD, id=number), NOON, promised)
    assert queued(connection, timers.UPDATE) == [
        ("update_due:7:", promised, {"promised": promised.isoformat()}),
        ("update_due:8:", NOON + 30 * MINUTE, {}),
        ("update_due:6:", NOON + 30 * MINUTE, {}),
        ("update_due:9:", NOON + 30 * MINUTE, {}),
    ]
    assert {at for _, at, _ in queued(connection, timers.REVIEW)} == {NOON + 24 * HOUR}
    timers.promise(connection, HELD, NOON + MINUTE, None)
    assert queued(connection, timers.UPDATE)[0] == ("update_due:7:", NOON + MINUTE, {})


def test_that_somebody_was_reminded_is_noted_on_that_job(connection: Connection) -> None:
    for incident in (OTHER, HELD, replace(HELD, id=9)):
        timers.updates(connection, configured(), replace(incident, acknowledged_at=NOON), NOON)
    timers.promise(connection, HELD, NOON, NOON + HOUR)
    row = connection.execute(select(jobs).where(jobs.c.incident_id == HELD.id)).mappings().one()
    job = Job(row["id"], row["kind"], row["key"], HELD.id, row["payload"], 1, NOON)
    timers.reminded(connection, job, NOON + HOUR)
    assert [payload for _, _, payload in queued(connection, timers.UPDATE)] == [
        {},
        {"promised": (NOON + HOUR).isoformat(), "reminded": (NOON + HOUR).isoformat()},
        {},
    ]


@pytest.mark.parametrize(("severity", "required"), [("critical", True), ("high", True), ("medium", False)])
def test_a_review_is_reminded_of_after_a_day_where_the_severity_requires_one(
    connection: Connection, severity: Severity, required: bool
) -> None:
    timers.review(connection, configured(), replace(INCIDENT, severity=severity), NOON)
    assert queued(connection, timers.REVIEW) == ([("review_due:7:", NOON + 24 * HOUR, {})] if required else [])
