"""Windows: what covers what and when, as pure functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.suppression.windows import Hold, Window, hold, occurrence
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND

WINDOW = Window("shop", "production", NOON, NOON + HOUR, tell=False, reason="the disk is swapped")


def test_a_window_covers_its_service_and_environment_from_its_start_until_before_its_end() -> None:
    covered = [
        WINDOW.covers("shop", "production", NOON + after) for after in (-SECOND, 0 * SECOND, HOUR - SECOND, HOUR)
    ]
    assert covered == [False, True, True, False]
    assert not WINDOW.covers("search", "production", NOON)
    assert not WINDOW.covers("shop", "staging", NOON)
    assert replace(WINDOW, service="*").covers("search", "production", NOON)
    assert not replace(WINDOW, service="*").covers("search", "staging", NOON)
    assert replace(WINDOW, environment="*").covers("shop", "staging", NOON)
    assert not replace(WINDOW, environment="*").covers("search", "staging", NOON)


def test_a_hold_says_until_when_and_why() -> None:
    assert str(Hold(NOON + HOUR, tell=False, reason="the disk is swapped")) == (
        "held until 2026-05-01 13:00 UTC: the disk is swapped"
    )


def test_an_occurrence_bears_what_the_config_says() -> None:
    recurring = RecurringWindow.model_validate(
        {"name": "move", "service": "shop", "environment": "production", "at": "12:00", "lasts": "1h", "tell": True}
    )
    assert occurrence(recurring, NOON) == Window("shop", "production", NOON, NOON + HOUR, tell=True, reason="move")
    assert occurrence(recurring, NOON - SECOND) is None
    assert occurrence(recurring, NOON + HOUR) is None


def test_a_window_of_several_days_is_found_on_each_of_them() -> None:
    days = RecurringWindow.model_validate({"name": "move", "days": ["friday"], "at": "12:00", "lasts": "7d"})
    # NOON is a Friday: the window of the week before ends as the next begins.
    for after in range(7):
        window = occurrence(days, NOON + timedelta(days=after))
        assert window is not None
        assert window.starts_at == NOON
    before = occurrence(days, NOON - SECOND)
    assert before is not None
    assert before.starts_at == NOON - timedelta(days=7)


def test_of_occurrences_that_overlap_the_one_that_ends_last_is_taken() -> None:
    daily = RecurringWindow.model_validate({"name": "x", "at": "12:00", "lasts": "30h"})
    for at, starts in ((NOON, NOON), (NOON - SECOND, NOON - timedelta(days=1))):
        window = occurrence(daily, at)
        assert window is not None
        assert window.starts_at == starts


def test_by_the_last_end_of_several_windows_the_hold_is_what_that_one_says() -> None:
    long = replace(WINDOW, ends_at=NOON + 2 * HOUR, tell=True, reason="long")
    assert hold([long, WINDOW], "shop", "production", NOON) == Hold(NOON + 2 * HOUR, tell=False, reason="long")
    assert hold([long], "shop", "production", NOON) == Hold(NOON + 2 * HOUR, tell=True, reason="long")
    assert hold([], "shop", "production", NOON) is None


WEEKLY = RecurringWindow.model_validate(
    {"name": "move", "days": ["sunday"], "at": "23:00", "lasts": "4h", "zone": "Europe/Berlin"}
)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (datetime(2026, 5, 3, 20, 59, tzinfo=UTC), False),
        (datetime(2026, 5, 3, 21, 0, tzinfo=UTC), True),
        (datetime(2026, 5, 4, 0, 59, tzinfo=UTC), True),
        (datetime(2026, 5, 4, 1, 0, tzinfo=UTC), False),
        (datetime(2026, 5, 4, 21, 0, tzinfo=UTC), False),
    ],
)
def test_a_recurring_window_may_pass_midnight(at: datetime, is_open: bool) -> None:
    assert (occurrence(WEEKLY, at) is not None) is is_open


@given(
    st.integers(631_152_000, 2_840_140_800).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.integers(1, 7 * 24 * 60),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_an_occurrence_holds_the_time_and_begins_by_the_clock_on_the_wall(at: datetime, lasts: int, zone: str) -> None:
    window = RecurringWindow.model_validate({"name": "x", "at": "09:00", "lasts": f"{lasts}m", "zone": zone})
    found = occurrence(window, at)
    if found is not None:
        assert found.starts_at <= at < found.ends_at
        assert found.ends_at - found.starts_at == timedelta(minutes=lasts)
        assert found.starts_at.astimezone(ZoneInfo(zone)).hour == 9
    assert found is not None or lasts < 25 * 60


def test_of_several_windows_the_last_end_counts_and_silence_wins() -> None:
    short = Window("*", "*", NOON, NOON + MINUTE, tell=False, reason="short")
    long = Window("shop", "*", NOON, NOON + HOUR, tell=True, reason="long")
    held = hold([short, long], "shop", "production", NOON)
    assert held is not None
    assert (held.until, held.tell, held.reason) == (NOON + HOUR, False, "long")
    assert hold([long], "search", "production", NOON) is None
    assert hold([short], "shop", "production", NOON + MINUTE) is None


@pytest.mark.parametrize("lasts", ["0s", "8d"])
def test_a_recurring_window_lasts_for_a_time_that_can_be(lasts: str) -> None:
    with pytest.raises(ValidationError, match="a window lasts more than 0s and at most 7d"):
        RecurringWindow.model_validate({"name": "x", "at": "09:00", "lasts": lasts})
