"""Rotations with business hours: when somebody is on call, and what becomes of who is called when nobody is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploywatch.receiver.escalation import coverage
from deploywatch.receiver.escalation.on_call import Duty, Gap, duty_of, gaps, leads, on_call, reach, turn
from deploywatch.receiver.settings.people.on_call import Schedule
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.front import front_of
from tests.receiver.scene import HOUR, MINUTE, SECOND, alert, settings

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
PEOPLE = {name: {"channels": [name]} for name in ("ann", "bob", "eve")}
OFFICE: dict[str, Any] = {"people": ["ann"], "zone": "Europe/Berlin", "hours": [{}]}
"""Monday to Friday from nine to five, when nothing else is said."""


def schedule(*hours: dict[str, Any], **more: Any) -> Schedule:
    """One rotation with these hours, which is the team's primary."""
    rotation = {"people": ["ann", "bob"], "zone": "Europe/Berlin", "starts": "2026-01-05", "hours": list(hours)}
    teams = {"shop": {"primary": "shop"}}
    return Schedule.model_validate({"people": PEOPLE, "rotations": {"shop": rotation}, "teams": teams, **more})


def there(one: Schedule, *moment: int) -> bool:
    """Whether somebody is on call at a time in Berlin."""
    return turn(one, "shop", datetime(*moment, tzinfo=BERLIN)) is not None  # type: ignore[misc, arg-type] # year, month, day, hour, minute


@pytest.mark.parametrize("month", [1, 7])
def test_somebody_is_on_call_within_the_hours_of_summer_and_winter_only(month: int) -> None:
    one, monday = schedule({}), 5 if month == 1 else 6
    days = [(monday + day, 2026, month) for day in range(7)]
    assert [there(one, year, of, day, 12) for day, year, of in days] == [True] * 5 + [False] * 2
    edges = [(8, 59), (9, 0), (16, 59), (17, 0)]
    assert [there(one, 2026, month, monday, *edge) for edge in edges] == [False, True, True, False]


@pytest.mark.parametrize("changed", [date(2026, 3, 29), date(2026, 10, 25)])
def test_hours_of_the_night_in_which_the_clock_is_changed_begin_and_end_by_the_wall(changed: date) -> None:
    on_call = schedule({"days": ["saturday"], "from": "22:00", "until": "06:00"})
    begin = datetime(changed.year, changed.month, changed.day, 22, tzinfo=BERLIN) - DAY
    end = datetime(changed.year, changed.month, changed.day, 6, tzinfo=BERLIN)
    answer = turn(on_call, "shop", begin + 4 * HOUR)
    assert answer
    assert (answer.since, answer.until) == (begin.astimezone(UTC), end.astimezone(UTC))
    assert (answer.until - answer.since) in (7 * HOUR, 9 * HOUR)
    assert turn(on_call, "shop", end) is None


def test_a_turn_ends_with_the_hours_or_with_the_turn_whichever_comes_first() -> None:
    always = {"days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}
    on_call = schedule({**always, "from": "00:00", "until": "00:00"})
    answer = turn(on_call, "shop", datetime(2026, 1, 7, 12, tzinfo=BERLIN))
    assert answer
    assert (answer.person, answer.since, answer.until) == (
        "ann",
        datetime(2026, 1, 5, 9, tzinfo=BERLIN),
        datetime(2026, 1, 12, 9, tzinfo=BERLIN),
    )
    office = turn(schedule({}), "shop", datetime(2026, 1, 12, 16, tzinfo=BERLIN))
    assert office
    assert (office.person, office.until) == ("bob", datetime(2026, 1, 12, 17, tzinfo=BERLIN))


def test_who_stands_in_does_so_outside_the_hours_as_well() -> None:
    override = {"rotation": "shop", "who": "eve", "from": "2026-01-10T00:00Z", "until": "2026-01-11T00:00Z"}
    on_call = schedule({}, overrides=[override])
    answer = turn(on_call, "shop", datetime(2026, 1, 10, 12, tzinfo=UTC))
    assert answer
    assert (answer.person, answer.stands_in) == ("eve", True)
    (gap,) = gaps(on_call, datetime(2026, 1, 9, 20, tzinfo=UTC))
    assert gap.until == datetime(2026, 1, 10, tzinfo=UTC)


def test_a_gap_says_until_when_nobody_has_the_part() -> None:
    friday_evening = datetime(2026, 3, 27, 18, tzinfo=BERLIN)  # the clock is changed on Sunday
    monday = datetime(2026, 3, 30, 9, tzinfo=BERLIN).astimezone(UTC)
    assert gaps(schedule({}), friday_evening) == (Gap("shop", "primary", monday),)
    reached = reach(schedule({}), ["primary"], "shop", friday_evening)
    assert (reached.names, [str(gap) for gap in reached.gaps]) == (
        (),
        ["nobody is primary of shop until Mon 2026-03-30 07:00 UTC"],
    )
    assert on_call(schedule({}), friday_evening) == ()


def test_of_several_rotations_the_first_counts_that_has_somebody() -> None:
    rotations = {"day": OFFICE, "always": {"people": ["bob"]}}
    one = schedule(rotations=rotations, teams={"shop": {"primary": ["day", "always"]}})
    at_noon, at_night = datetime(2026, 1, 7, 12, tzinfo=BERLIN), datetime(2026, 1, 7, 3, tzinfo=BERLIN)
    assert [duty.turn.person for duty in (*on_call(one, at_noon), *on_call(one, at_night))] == ["ann", "bob"]
    assert coverage.notes(one, at_noon) == []


def test_the_lead_may_be_a_rotation_that_is_there_in_business_hours() -> None:
    on_call = schedule(rotations={"leads": OFFICE}, teams={"shop": {"lead": "leads"}, "search": {"lead": "eve"}})
    at_noon, at_night = datetime(2026, 1, 7, 12, tzinfo=BERLIN), datetime(2026, 1, 7, 3, tzinfo=BERLIN)
    assert leads(on_call, at_noon) == {"shop": "ann", "search": "eve"}
    assert leads(on_call, at_night) == {"search": "eve"}
    assert reach(on_call, ["team_lead"], "shop", at_noon).names == ("ann",)
    assert reach(on_call, ["team_lead"], "shop", at_night).names == ()


DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
CLOCK = st.sampled_from(["00:00", "02:30", "03:00", "09:00", "12:00", "22:00", "23:59"])
HOURS = st.lists(
    st.fixed_dictionaries(
        {"days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=7), "from": CLOCK, "until": CLOCK}
    ),
    min_size=1,
    max_size=3,
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
TIMES = st.integers(1_580_000_000, 2_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


@given(HOURS, ZONES, TIMES)
def test_of_every_time_it_is_known_who_is_on_call_or_when_somebody_is_again(
    hours: list[dict[str, Any]], zone: str, at: datetime
) -> None:
    rotation = {"people": ["ann", "bob"], "zone": zone, "every": "1d", "hours": hours}
    on_call = schedule(rotations={"shop": rotation})
    match duty_of(on_call, "shop", "primary", at):
        case Duty(turn=found):
            assert found.since <= at < found.until
            assert turn(on_call, "shop", found.until - SECOND) == found
            assert turn(on_call, "shop", found.since) == found
        case Gap(until=until):
            assert at < until <= at + 8 * DAY
            assert turn(on_call, "shop", until)
            assert not turn(on_call, "shop", until - SECOND)
        case None:
            pytest.fail("the team has a rotation")


@given(CLOCK, CLOCK, ZONES, TIMES)
def test_a_day_and_a_night_that_follow_each_other_leave_nobody_out(
    begins: str, ends: str, zone: str, at: datetime
) -> None:
    if begins == ends:
        return
    halves = {
        name: {"people": [name], "zone": zone, "hours": [{"days": DAYS, "from": since, "until": until}]}
        for name, since, until in (("ann", begins, ends), ("bob", ends, begins))
    }
    one = schedule(rotations=halves, teams={"shop": {"primary": ["ann", "bob"]}})
    assert on_call(one, at)
    assert coverage.notes(one, at) == []


@pytest.mark.parametrize(
    ("hours", "fault"),
    [
        ({"days": []}, "at least 1 item"),
        ({"days": ["mon"]}, "'monday'"),
        ({"from": "09:00Z"}, "write the time without a zone"),
        ({"until": "24:00"}, "valid time"),
        ({"to": "17:00"}, "to"),
    ],
)
def test_what_cannot_be_hours_is_refused(hours: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        schedule(hours)


def test_a_lead_that_might_be_two_is_refused() -> None:
    with pytest.raises(ValidationError, match="the lead 'ann' is a person and a rotation"):
        schedule(rotations={"ann": OFFICE}, teams={"shop": {"lead": "ann"}})
    with pytest.raises(ValidationError, match="'an' is not a person or a rotation; did you mean 'ann'"):
        schedule(teams={"shop": {"lead": "an"}})


def staffed(**more: Any) -> Any:
    """Ann leads in the office; it is Friday noon in UTC when the scene begins."""
    oncall = {
        "people": PEOPLE,
        "rotations": {"leads": {"people": ["ann"], "hours": [{}]}, "first": {"people": ["bob"], "hours": [{}]}},
        "teams": {"shop": {"primary": "first", "lead": "leads"}},
    }
    by_severity = {severity: ["team"] for severity in ("critical", "high", "medium", "low")}
    return settings("team", "ann", "bob", "eve", oncall=oncall, notify={"by_severity": by_severity}, **more)


async def test_a_medium_incident_of_the_weekend_calls_the_lead_when_the_business_hours_begin(
    make_scene: MakeScene,
) -> None:
    scene = make_scene(staffed())
    await scene.after(8 * HOUR)  # Friday, 20:00
    await scene.take(alert(severity="medium", starts=8 * HOUR))
    await scene.after(3 * HOUR)
    assert await scene.lines("escalated") == []
    assert await scene.lines("escalation_waits") == [
        "step 1 of the escalation waits: nobody is team_lead of shop until Mon 2026-05-04 09:00 UTC"
    ]
    await scene.after(2 * DAY + 9 * HOUR + 59 * MINUTE)  # Monday, 8:59
    assert scene.channels["ann"].events == []
    await scene.after(MINUTE)
    assert scene.channels["ann"].events == [Event.ESCALATED]
    assert len(await scene.lines("escalation_waits")) == 1


async def test_a_step_with_channels_tells_them_at_once_and_calls_the_lead_when_the_hours_begin(
    make_scene: MakeScene,
) -> None:
    step = {"after": "30m", "who": ["team_lead"], "channels": ["eve"]}
    scene = make_scene(staffed(escalation={"steps": {"medium": [step]}}))
    await scene.after(8 * HOUR)  # Friday, 20:00
    await scene.take(alert(severity="medium", starts=8 * HOUR))
    await scene.after(3 * HOUR)
    assert scene.channels["eve"].events == [Event.ESCALATED]
    assert await scene.lines("escalation_waits") == [
        "step 1 of the escalation waits: nobody is team_lead of shop until Mon 2026-05-04 09:00 UTC"
    ]
    assert scene.channels["ann"].events == []
    await scene.after(2 * DAY + 10 * HOUR)  # Monday, 9:00
    assert scene.channels["ann"].events == [Event.ESCALATED]
    assert scene.channels["eve"].events == [Event.ESCALATED]
    await scene.after(DAY)
    assert scene.channels["ann"].events == [Event.ESCALATED]


async def test_who_took_it_in_hand_at_night_spares_the_lead(make_scene: MakeScene) -> None:
    async with front_of(make_scene(staffed())) as front:
        await front.scene.after(8 * HOUR)
        await front.scene.take(alert(severity="medium", starts=8 * HOUR))
        await front.scene.after(3 * HOUR)
        await front("POST", "/incidents/1/acknowledge", {"by": "bob"})
        await front.scene.after(3 * DAY)
        assert front.scene.channels["ann"].events == []


@pytest.mark.parametrize("steps", [{}, {"steps": {"critical": [{"after": "5m", "who": ["primary"]}]}}])
async def test_what_is_critical_does_not_wait_for_business_hours(make_scene: MakeScene, steps: dict[str, Any]) -> None:
    scene = make_scene(staffed(escalation={"channels": ["eve"], **steps}))
    await scene.after(8 * HOUR)
    await scene.take(alert(severity="critical", starts=8 * HOUR))
    await scene.after(15 * MINUTE)
    assert Event.ESCALATED in scene.channels["eve"].events
    assert await scene.lines("escalation_waits") == []


async def test_the_api_says_who_is_missing_until_when(make_scene: MakeScene) -> None:
    async with front_of(make_scene(staffed())) as front:
        at_night = (await front("GET", "/oncall?at=2026-05-01T20:00:00Z")).data
        at_noon = (await front("GET", "/oncall?at=2026-05-01T12:00:00Z")).data
    monday = "2026-05-04T09:00:00+00:00"
    assert at_night["gaps"] == [
        {"team": "shop", "role": "primary", "until": monday},
        {"team": "shop", "role": "team_lead", "until": monday},
    ]
    assert (at_night["on_call"], at_night["leads"]) == ([], {})
    assert [duty["role"] for duty in at_noon["on_call"]] == ["primary", "team_lead"]
    assert (at_noon["gaps"], at_noon["leads"]) == ([], {"shop": "ann"})


def test_the_config_check_says_at_which_hours_nobody_is_on_call() -> None:
    (note,) = coverage.notes(schedule({}), datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert note.startswith(
        "note: in the coming week nobody is primary of shop from Friday 17:00 to Monday 09:00, "
        "from Monday 17:00 to Tuesday 09:00, from Tuesday 17:00 to Wednesday 09:00, "
        "from Wednesday 17:00 to Thursday 09:00, from Thursday 17:00 to Friday 09:00 (Europe/Berlin); "
    )
