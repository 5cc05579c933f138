"""The books balance only when they do: each thing lost or doubled is a fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploywatch.receiver.messages import identity
from tests.support.arrivals import Arrivals, Page
from tests.support.books import Books, faults
from tests.support.storm import Sent

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
SENT = Sent("shop", "Errors", NOON, LATER)

ALERT = {
    "fingerprint": "a",
    "starts_at": NOON,
    "current": True,
    "incident_id": 1,
    "status": "resolved",
    "labels": {"service": "shop", "alertname": "Errors"},
}
INCIDENT = {"id": 1, "service": "shop", "environment": "production", "opened_at": NOON, "resolved_at": LATER}
ROLLBACK = {"incident_id": 1, "service": "shop", "from_version": "2", "state": "verified", "detail": ""}
LINES = [{"incident_id": 1, "kind": kind} for kind in ("opened", "resolved", "rollback_started", *["told"] * 4)]


def _job(event: str, **changes: Any) -> dict[str, Any]:
    payload = {"event": event, "at": NOON.isoformat(), "channel": "team"}
    plain = {"key": event, "kind": "deliver", "incident_id": 1, "payload": payload, "state": "done", "attempts": 1}
    return plain | {"id": 1 if event == "opened" else 2, "run_at": NOON, "note": "", "uncertain_attempts": 0} | changes


def _paged(event: str) -> dict[str, Any]:
    return _job(event, key=f"{event}:pager", payload={"event": event, "at": NOON.isoformat(), "channel": "pager"})


JOBS = [_job("opened"), _job("resolved"), _paged("opened"), _paged("resolved")]
KEY = f"deploywatch/production/shop/1/{int(NOON.timestamp())}"
NAMES = [identity(KEY, event) for event in ("opened", "resolved")]
PAGES = [Page("trigger", "opened", NOON), Page("resolve")]
ARRIVED = Arrivals({"slack": Counter(NAMES)}, {KEY: PAGES})
GOOD = Books([ALERT], [INCIDENT], JOBS, [ROLLBACK], LINES, LATER, ARRIVED, ["shop 2"])


def test_books_that_balance_have_no_fault() -> None:
    assert faults(GOOD, [SENT]) == []


def _arrived(pages: dict[str, list[Page]] | None = None, **names: list[str]) -> dict[str, Any]:
    messages = {kind: Counter(found) for kind, found in names.items()}
    return {"arrived": Arrivals(messages, {KEY: PAGES} if pages is None else pages)}


def test_a_message_that_came_twice_is_no_fault() -> None:
    assert faults(replace(GOOD, **_arrived(slack=NAMES * 2)), [SENT]) == []


STRUCK = _job("opened", state="failed", uncertain_attempts=2, note="whether team was told is unknown")
INSTEAD = _job("opened", key="opened:instead:mail")


@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_a_message_that_its_stand_in_took_over_may_have_come_or_not(arrived: int) -> None:
    names = [NAMES[0]] * arrived + [NAMES[1], identity(KEY, INSTEAD["key"])]
    jobs = [STRUCK, INSTEAD, *JOBS[1:]]
    assert faults(replace(GOOD, jobs=jobs, **_arrived(slack=names)), [SENT]) == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an alert that is not there": ({"alerts": [{**ALERT, "current": False}]}, "0 current episodes"),
    "an alert that fires still": ({"alerts": [{**ALERT, "status": "firing"}]}, "is firing"),
    "two incidents at once": ({"incidents": [INCIDENT, {**INCIDENT, "id": 2}]}, "opened while incident 1 was open"),
    "an incident of nothing": ({"incidents": [INCIDENT, {**INCIDENT, "id": 2}]}, "has no alert of its own"),
    "an incident that opened twice": ({"timeline": [*LINES, LINES[0]]}, "was opened 2 times"),
    "a rollback that ran twice": ({"commands": ["shop 2", "shop 2"]}, "rolled back 2 times"),
    "a rollback that ran unknown": ({"commands": ["shop 2", "cart 1"]}, "without a word: cart 1"),
    "a rollback that never ran": ({"commands": []}, "nobody was told that this is unknown"),
    "a message that never came": ({"arrived": Arrivals()}, "arrived 0 times"),
    "a message that came three times": (_arrived(slack=NAMES * 3), "arrived 3 times"),
    "a message that nobody took over": ({"jobs": [STRUCK, *JOBS[1:]], "timeline": LINES[:-1]}, "the job opened failed"),
    "a stand-in that never came": ({"jobs": [STRUCK, INSTEAD, *JOBS[1:]]}, "opened:instead:mail: arrived 0 times"),
    "a message that came by two ways": (_arrived(slack=NAMES * 2, email=NAMES), "arrived 3 times"),
    "a message of nowhere": (_arrived(slack=[*NAMES, "nobody's"]), "was never queued"),
    "a message that was forgotten": ({"jobs": JOBS[:1], "timeline": LINES[:-3]}, "told that it resolved"),
    "a message noted twice": ({"timeline": [*LINES, LINES[-1]]}, "4 messages done, 5 on the timeline"),
    "a page that never came": (_arrived(slack=NAMES, pages={KEY: PAGES[1:]}), "opened:pager: PagerDuty never heard"),
    "a page after the end": (_arrived(slack=NAMES, pages={KEY: PAGES[::-1]}), "told last to Page(action='trigger'"),
    "a page of nowhere": (_arrived(slack=NAMES, pages={KEY: PAGES, "else": PAGES}), "an alert of its own: else"),
    "a job that waits": ({"jobs": [*JOBS, _job("late", kind="settle", state="ready")]}, "the job late waits"),
    "a job that failed": ({"jobs": [*JOBS, _job("bad", kind="settle", state="failed")]}, "the job bad failed"),
}


def test_what_got_worse_has_a_page_under_a_name_of_its_own() -> None:
    worse = _paged("worsened") | {"id": 3}
    own = f"{KEY}-{identity(KEY, worse['key'])[:8]}"
    pages = {KEY: [PAGES[0], PAGES[1]], own: [Page("trigger", "worsened", NOON), PAGES[1]]}
    jobs = [*JOBS, worse, _paged("resolved") | {"id": 4, "key": "again"}]
    lines = [*LINES, *({"incident_id": 1, "kind": "told"} for _ in range(2))]
    good = replace(GOOD, jobs=jobs, timeline=lines, **_arrived(pages, slack=NAMES))
    assert faults(good, [SENT]) == []
    open_still = replace(good, **_arrived({**pages, KEY: [PAGES[0]]}, slack=NAMES))
    assert any("an earlier alert of it open" in fault for fault in faults(open_still, [SENT]))
    stranger = replace(good, **_arrived({**pages, f"{KEY}-00000000": PAGES}, slack=NAMES))
    assert any("an alert of its own" in fault for fault in faults(stranger, [SENT]))


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_together_is_told(name: str) -> None:
    changes, fault = BAD[name]
    assert any(fault in found for found in faults(replace(GOOD, **changes), [SENT]))


def test_a_reminder_of_what_is_over_is_not_waited_for_and_one_of_what_goes_on_is() -> None:
    reminder = _job("reminder", kind="reminder", state="ready", run_at=LATER)
    assert faults(replace(GOOD, jobs=[*JOBS, reminder]), [SENT]) == []
    going_on = replace(GOOD, jobs=[*JOBS, reminder], incidents=[{**INCIDENT, "resolved_at": None}])
    assert "the job reminder waits" in faults(going_on, [SENT])


def test_what_is_due_in_days_is_no_part_of_a_storm() -> None:
    review = _job("review", kind="review_due", state="ready", run_at=LATER + timedelta(days=2))
    assert faults(replace(GOOD, jobs=[*JOBS, review]), [SENT]) == []


def test_what_comes_back_for_as_long_as_there_is_something_to_watch_is_not_waited_for() -> None:
    watches = _job("", kind="assess_deployment", key="assess_deployment:1", state="ready")
    assert replace(GOOD, jobs=[*JOBS, watches]).waiting == []
    assert replace(GOOD, jobs=[*JOBS, watches | {"state": "running"}]).waiting == ["assess_deployment:1"]
