"""Who is on call, and whom a part or a name means: pure functions of the roster and the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from deploywatch.receiver.escalation import business_hours
from deploywatch.receiver.escalation.business_hours import Span
from deploywatch.receiver.settings.people.on_call import (
    MANAGEMENT,
    PRIMARY,
    ROLES,
    SECONDARY,
    TEAM,
    TEAM_LEAD,
    WEEKDAYS,
    Rotation,
    Schedule,
)

_ROLES_OF_A_TEAM = (PRIMARY, SECONDARY, TEAM_LEAD)


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is in a rotation, from when until when (UTC); `stands_in` when by an override."""

    person: str
    since: datetime
    until: datetime
    stands_in: bool = False


@dataclass(frozen=True, slots=True)
class Duty:
    """Who has which part in a team, by which rotation."""

    team: str
    role: str
    rotation: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class Gap:
    """A part in a team that nobody has now; `until` is when somebody will (UTC)."""

    team: str
    role: str
    until: datetime

    def __str__(self) -> str:
        return f"nobody is {self.role} of {self.team} until {self.until:%a %Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Reached:
    """Who is meant by some words, the channels that reach them, and the parts that nobody has just then."""

    names: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


def on_call(schedule: Schedule, at: datetime) -> tuple[Duty, ...]:
    """Who is on call at a time: of each team its primary, its secondary and its lead, where these are rotations."""
    duties = (duty_of(schedule, name, role, at) for name in schedule.teams for role in _ROLES_OF_A_TEAM)
    return tuple(duty for duty in duties if isinstance(duty, Duty))


def gaps(schedule: Schedule, at: datetime) -> tuple[Gap, ...]:
    """The parts that nobody has at a time, outside the hours of all their rotations."""
    duties = (duty_of(schedule, name, role, at) for name in schedule.teams for role in _ROLES_OF_A_TEAM)
    return tuple(gap for gap in duties if isinstance(gap, Gap))


def duty_of(schedule: Schedule, team: str, role: str, at: datetime) -> Duty | Gap | None:
    """Who has a part in a team: the first of its rotations that has somebody; None where no rotation has that part."""
    rotations = [name for name in schedule.teams[team].having(role) if name in schedule.rotations]
    for rotation in rotations:
        if now := turn(schedule, rotation, at):
            return Duty(team, role, rotation, now)
    return Gap(team, role, min(_next(schedule, name, at) for name in rotations)) if rotations else None


def turn(schedule: Schedule, rotation: str, at: datetime) -> Turn | None:
    """Whose turn it is; of several overrides the last one written counts. None outside the rotation's hours.

    Who stands in does so outside the hours as well.
    """
    # The last one written is the latest agreement between people.
    for override in reversed(schedule.overrides):
        if override.rotation == rotation and override.since <= at < override.until:
            return Turn(override.who, override.since, override.until, stands_in=True)
    settings = schedule.rotations[rotation]
    regular = _regular(settings, at)
    if not settings.hours:
        return regular
    hours = business_hours.around(settings, at, Span(regular.since, regular.until))
    return replace(regular, since=hours.since, until=hours.until) if hours else None


def leads(schedule: Schedule, at: datetime) -> dict[str, str]:
    """Who leads each team at a time; without those whose lead is away."""
    leaders = {name: _lead(schedule, name, at)[0] for name in schedule.teams}
    return {team: ", ".join(people) for team, people in leaders.items() if people}


def reach(schedule: Schedule, who: Iterable[str], service: str, at: datetime) -> Reached:
    """Who is meant by roles and names, for a service at a time; a role that nobody has reaches nobody."""
    meant = [_meant(schedule, word, service, at) for word in who]
    names = tuple(dict.fromkeys(name for people, _ in meant for name in people))
    channels = (channel for name in names for channel in _channels(schedule, name))
    return Reached(names, tuple(dict.fromkeys(channels)), tuple(gap for _, gap in meant if gap))


def _meant(schedule: Schedule, word: str, service: str, at: datetime) -> tuple[tuple[str, ...], Gap | None]:
    if word == MANAGEMENT:
        return schedule.management, None
    # Not a role: a person's name, or a contact's.
    if word not in ROLES:
        return (word,), None
    name = schedule.team_of(service)
    if name is None:
        return (), None
    if word == TEAM:
        return (name,), None
    if word == TEAM_LEAD:
        return _lead(schedule, name, at)
    return _people(duty_of(schedule, name, word, at))


def _lead(schedule: Schedule, team: str, at: datetime) -> tuple[tuple[str, ...], Gap | None]:
    people = tuple(name for name in schedule.teams[team].lead if name in schedule.people)
    return (people, None) if people else _people(duty_of(schedule, team, TEAM_LEAD, at))


def _people(duty: Duty | Gap | None) -> tuple[tuple[str, ...], Gap | None]:
    if isinstance(duty, Gap):
        return (), duty
    return ((duty.turn.person,), None) if duty else ((), None)


def _next(schedule: Schedule, rotation: str, at: datetime) -> datetime:
    """When a rotation has somebody again that has nobody now: its next hours, or before them somebody stands in."""
    overrides = (
        override.since for override in schedule.overrides if override.rotation == rotation and override.since > at
    )
    return min((business_hours.begin_next(schedule.rotations[rotation], at), *overrides))


def _channels(schedule: Schedule, name: str) -> tuple[str, ...]:
    entry = schedule.people.get(name) or schedule.contacts.get(name) or schedule.teams.get(name)
    return entry.channels if entry else ()


def _regular(rotation: Rotation, at: datetime) -> Turn:
    zone, first = ZoneInfo(rotation.zone), _first(rotation)

    def begins(number: int) -> datetime:
        # Hand-over is at an hour of the wall's clock, also in the week in which it is changed.
        return (first + number * rotation.every).replace(tzinfo=zone).astimezone(UTC)

    # A guess on the wall's clock is off by one at most where the clock was changed.
    number = (at.astimezone(zone).replace(tzinfo=None) - first) // rotation.every
    while begins(number) > at:
        number -= 1
    while begins(number + 1) <= at:
        number += 1
    person = rotation.people[number % len(rotation.people)]
    return Turn(person, begins(number), begins(number + 1))


def _first(rotation: Rotation) -> datetime:
    days = (WEEKDAYS.index(rotation.handoff.day) - rotation.starts.weekday()) % 7
    return datetime.combine(rotation.starts + timedelta(days=days), rotation.handoff.at)
