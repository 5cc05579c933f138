"""The on-call schedule: whose turn it is, across changes of the clock, overrides and every time there is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch import config
from deploywatch.receiver.escalation.on_call import Turn, on_call, reach, turn
from deploywatch.receiver.settings.people.on_call import Schedule
from tests.receiver.scene import HOUR, MINUTE, SECOND

BERLIN = ZoneInfo("Europe/Berlin")
PEOPLE = {name: {"channels": [f"{name}-chat"]} for name in ("ann", "bob", "cid")}
DAY = timedelta(days=1)


def schedule(rotation: dict[str, Any] | None = None, **more: Any) -> Schedule:
    """Ann, Bob and Cid take turns."""
    regular = {"people": ["ann", "bob", "cid"], "zone": "Europe/Berlin", "starts": "2026-01-05", **(rotation or {})}
    whole = {"people": PEOPLE, "rotations": {"shop": regular}, "teams": {"shop": {"primary": "shop"}}, **more}
    return Schedule.model_validate(whole)


def whole(one: Schedule, at: datetime) -> Turn:
    """The turn that there must be."""
    answer = turn(one, "shop", at)
    assert answer
    return answer


def who(one: Schedule, at: datetime) -> str:
    return whole(one, at).person


def test_people_take_turns_by_the_week() -> None:
    one, monday = schedule(), datetime(2026, 1, 5, 9, tzinfo=BERLIN)
    assert [who(one, monday + week * 7 * DAY) for week in range(4)] == ["ann", "bob", "cid", "ann"]
    assert who(one, monday - MINUTE) == "cid"


def test_the_first_turn_begins_on_the_handoff_day_after_the_start() -> None:
    on_call = schedule({"handoff": {"day": "wednesday", "at": "17:30"}})
    assert whole(on_call, datetime(2026, 1, 8, tzinfo=UTC)).since == datetime(2026, 1, 7, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize("changed", [date(2026, 3, 29), date(2026, 10, 25)])
def test_a_handoff_keeps_its_time_of_day_when_the_clock_is_changed(changed: date) -> None:
    on_call = schedule({"every": "1d"})
    nine = datetime(changed.year, changed.month, changed.day, 9, tzinfo=BERLIN)
    before, after = whole(on_call, nine - MINUTE), whole(on_call, nine)
    assert before.until == after.since == nine
    assert before.until - before.since in (23 * HOUR, 25 * HOUR)


def test_a_handoff_at_a_time_that_does_not_exist_that_day_happens_all_the_same() -> None:
    on_call = schedule({"every": "1d", "handoff": {"at": "02:30"}})
    begun = whole(on_call, datetime(2026, 3, 29, 12, tzinfo=UTC)).since
    assert begun == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_who_stands_in_is_on_call_until_the_override_ends() -> None:
    override = {"rotation": "shop", "who": "cid", "from": "2026-01-06T00:00:00Z", "until": "2026-01-07T00:00:00Z"}
    on_call = schedule(overrides=[override])
    assert who(on_call, datetime(2026, 1, 5, 23, 59, tzinfo=UTC)) == "ann"
    assert whole(on_call, datetime(2026, 1, 6, tzinfo=UTC)).stands_in
    assert who(on_call, datetime(2026, 1, 6, 23, 59, tzinfo=UTC)) == "cid"
    assert who(on_call, datetime(2026, 1, 7, tzinfo=UTC)) == "ann"


@pytest.mark.parametrize("changed", [date(2026, 3, 29), date(2026, 10, 25)])
def test_who_stands_in_while_the_clock_is_changed_does_so_from_and_until_the_times_on_the_wall(changed: date) -> None:
    nine = datetime(changed.year, changed.month, changed.day, 9, tzinfo=BERLIN)
    day_before = nine - timedelta(days=1)  # on the wall: 23 or 25 hours
    override = {"rotation": "shop", "who": "cid", "from": day_before.isoformat(), "until": nine.isoformat()}
    on_call = schedule({"every": "1d"}, overrides=[override])
    inside = [day_before, day_before.astimezone(UTC) + 22 * HOUR, nine.astimezone(UTC) - SECOND]
    assert {who(on_call, at) for at in inside} == {"cid"}
    outside = [day_before.astimezone(UTC) - SECOND, nine.astimezone(UTC)]
    assert not [at for at in outside if whole(on_call, at).stands_in]


def test_of_several_overrides_the_last_one_written_counts() -> None:
    day = {"rotation": "shop", "from": "2026-01-06T00:00:00Z", "until": "2026-01-07T00:00:00Z"}
    on_call = schedule(overrides=[{**day, "who": "bob"}, {**day, "who": "cid"}])
    assert who(on_call, datetime(2026, 1, 6, 12, tzinfo=UTC)) == "cid"


TIMES = st.integers(631_152_000, 2_840_140_800).map(lambda second: datetime.fromtimestamp(second, UTC))  # 1990 to 2060
ROTATIONS = st.fixed_dictionaries(
    {
        "people": st.lists(st.sampled_from(["ann", "bob", "cid"]), min_size=1, max_size=5),
        "zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        "every": st.sampled_from(["1h", "8h", "12h", "1d", "3d", "7d", "14d"]),
        "starts": st.dates(date(2000, 1, 1), date(2040, 1, 1)),
        "handoff": st.fixed_dictionaries(
            {"day": st.sampled_from(["monday", "sunday"]), "at": st.sampled_from(["00:00", "02:30", "09:00", "23:59"])}
        ),
    }
)


@given(ROTATIONS, TIMES)
def test_there_is_always_exactly_one_turn_and_it_holds_the_time(rotation: dict[str, Any], at: datetime) -> None:
    found = whole(schedule(rotation), at)
    assert found.since <= at < found.until


@given(ROTATIONS, TIMES)
def test_turns_follow_each_other_without_a_gap(rotation: dict[str, Any], at: datetime) -> None:
    on_call = schedule(rotation)
    turns = [whole(on_call, at)]
    for _ in range(4):
        turns.append(whole(on_call, turns[-1].until))
    assert all(earlier.until == later.since for earlier, later in pairwise(turns))


@given(ROTATIONS, TIMES, st.integers(0, 10**6))
def test_the_whole_turn_has_one_person(rotation: dict[str, Any], at: datetime, some: int) -> None:
    on_call = schedule(rotation)
    found = whole(on_call, at)
    within = found.since + timedelta(seconds=some) % (found.until - found.since)
    assert whole(on_call, within) == found


@given(ROTATIONS.map(lambda one: {**one, "every": "7d", "handoff": {"day": "monday", "at": "09:00"}}), TIMES)
def test_a_weekly_turn_begins_at_the_same_time_of_day_all_year(rotation: dict[str, Any], at: datetime) -> None:
    local = whole(schedule(rotation), at).since.astimezone(ZoneInfo(rotation["zone"]))
    assert (local.weekday(), local.hour, local.minute) == (0, 9, 0)


TEAMS: dict[str, Any] = {
    "teams": {
        "shop": {"services": ["shop"], "primary": "shop", "lead": "bob", "channels": ["shop-room"]},
        "others": {"secondary": "shop", "lead": "cid"},
    },
    "management": ["cid"],
    "contacts": {"provider": {"channels": ["provider-mail"], "about": "contract 17"}},
}


@pytest.mark.parametrize(
    ("words", "service", "names", "channels"),
    [
        (["primary"], "shop", ("ann",), ("ann-chat",)),
        (["primary"], "search", (), ()),
        (["secondary", "team_lead"], "search", ("ann", "cid"), ("ann-chat", "cid-chat")),
        (["team"], "shop", ("shop",), ("shop-room",)),
        (["management", "provider"], "shop", ("cid", "provider"), ("cid-chat", "provider-mail")),
        (["bob", "team_lead"], "shop", ("bob",), ("bob-chat",)),
    ],
)
def test_roles_and_names_become_channels(
    words: list[str], service: str, names: tuple[str, ...], channels: tuple[str, ...]
) -> None:
    found = reach(schedule(**TEAMS), words, service, datetime(2026, 1, 5, 12, tzinfo=UTC))
    assert (found.names, found.channels) == (names, channels)


def test_without_a_team_a_role_reaches_nobody() -> None:
    assert reach(Schedule(), ["primary", "team", "team_lead", "management"], "shop", datetime.now(UTC)).names == ()
    assert on_call(Schedule(), datetime.now(UTC)) == ()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"rotations": {"shop": {"people": ["anne"]}}}, "'anne' is not a person; did you mean 'ann'?"),
        ({"teams": {"shop": {"primary": "shopp"}}}, "'shopp' is not a rotation; did you mean 'shop'?"),
        ({"management": ["zoe"]}, "'zoe' is not a person; known: ann, bob, cid"),
        ({"people": {**PEOPLE, "primary": {}}}, "'primary' stands for whoever has that part"),
        ({"rotations": {"shop": {"people": ["ann"], "zone": "Berlin"}}}, "'Berlin' is no time zone"),
        ({"rotations": {"shop": {"people": ["ann"], "every": "10m"}}}, "a turn is 1h or longer"),
        ({"rotations": {"shop": {"people": []}}}, "at least 1 item"),
        ({"rotations": {"shop": {"people": ["ann"], "handoff": {"at": "09:00Z"}}}}, "write the time without a zone"),
        (
            {
                "overrides": [
                    {"rotation": "shop", "who": "ann", "from": "2026-01-02T00:00Z", "until": "2026-01-01T00:00Z"}
                ]
            },
            "until must be later than from",
        ),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault.replace("?", r"\?")):
        schedule(**changes)


def test_a_schedule_reads_from_yaml_with_times_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "oncall.yml"
    file.write_text(
        "people: {ann: {}, bob: {}}\n"
        "rotations:\n  shop:\n    people: [ann, bob]\n    handoff: {day: friday, at: 09:00}\n    starts: 2026-01-05\n"
        "overrides:\n"
        "  - {rotation: shop, who: bob, from: 2026-05-01T09:00:00+02:00, until: 2026-05-02T09:00:00+02:00}\n"
    )
    read = config.load(file, Schedule)
    assert read.overrides[0].since == datetime(2026, 5, 1, 7, tzinfo=UTC)
    assert whole(read, datetime(2026, 1, 9, 9, tzinfo=UTC)).person == "ann"
