"""Who is on call, and whom a part or a name means: pure functions of the roster and the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from deploywatch.receiver.settings.on_call import (
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


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is in a rotation, from when until when (UTC); `stands_in` when by an override."""

    person: str
    since: datetime
    until: datetime
    stands_in: bool = False


@dataclass(frozen=True, slots=True)
class Duty:
    """Who has which part in a team, now."""

    team: str
    role: str
    rotation: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class Reached:
    """Who is meant by some words, and the channels that reach them."""

    names: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


def on_call(schedule: Schedule, at: datetime) -> tuple[Duty, ...]:
    """Who is on call at a time: of each team its primary and its secondary."""
    duties = []
    for name, team in schedule.teams.items():
        for role, rotation in ((PRIMARY, team.primary), (SECONDARY, team.secondary)):
            if rotation:
                duties.append(Duty(name, role, rotation, turn(schedule, rotation, at)))
    return tuple(duties)


def turn(schedule: Schedule, rotation: str, at: datetime) -> Turn:
    """Whose turn it is; of several overrides the last one written counts."""
    for override in reversed(schedule.overrides):
        if override.rotation == rotation and override.since <= at < override.until:
            return Turn(override.who, override.since, override.until, stands_in=True)
    return _regular(schedule.rotations[rotation], at)


def reach(schedule: Schedule, who: Iterable[str], service: str, at: datetime) -> Reached:
    """Who is meant by roles and names, for a service at a time; a role that nobody has reaches nobody."""
    names = tuple(dict.fromkeys(name for word in who for name in _meant(schedule, word, service, at)))
    channels = (channel for name in names for channel in _channels(schedule, name))
    return Reached(names, tuple(dict.fromkeys(channels)))


def _meant(schedule: Schedule, word: str, service: str, at: datetime) -> tuple[str, ...]:
    if word == MANAGEMENT:
        return schedule.management
    if word not in ROLES:
        return (word,)
    name = schedule.team_of(service)
    if name is None:
        return ()
    if word == TEAM:
        return (name,)
    if word == TEAM_LEAD:
        lead = schedule.teams[name].lead
        return (lead,) if lead else ()
    return tuple(duty.turn.person for duty in on_call(schedule, at) if (duty.team, duty.role) == (name, word))


def _channels(schedule: Schedule, name: str) -> tuple[str, ...]:
    entry = schedule.people.get(name) or schedule.contacts.get(name) or schedule.teams.get(name)
    return entry.channels if entry else ()


def _regular(rotation: Rotation, at: datetime) -> Turn:
    zone, first = ZoneInfo(rotation.zone), _first(rotation)

    def begins(number: int) -> datetime:
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
