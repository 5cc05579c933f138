"""Who is on call: rotations with overrides, teams, management and outside contacts; a pure function of the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from deploywatch.config import Settings, nearest
from deploywatch.quantity import Duration, parse_duration
from receiver.clock import UtcTime

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

PRIMARY, SECONDARY, TEAM, TEAM_LEAD, MANAGEMENT = "primary", "secondary", "team", "team_lead", "management"
ROLES = (PRIMARY, SECONDARY, TEAM, TEAM_LEAD, MANAGEMENT)
"""Words that stand for whoever has the part just then; everything else is a name."""

_SHORTEST = timedelta(hours=1)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/Berlin or UTC") from error
    return name


def _local(at: time) -> time:
    if at.tzinfo is not None:
        raise ValueError("write the time without a zone; the zone is given by `zone`")
    return at


ZoneName = Annotated[str, AfterValidator(_zone)]
LocalTime = Annotated[time, AfterValidator(_local)]
"""A time of day on the wall's clock."""


class Person(Settings):
    """Somebody who can be reached: by which of the receiver's channels, in their order."""

    channels: tuple[str, ...] = ()


class Contact(Settings):
    """Somebody outside, such as a provider's support: channels of the receiver, and what people should know."""

    channels: tuple[str, ...] = ()
    about: str = ""


class Handoff(Settings):
    """When one hands over to the next, by the clock on the wall there."""

    day: Weekday = "monday"
    at: LocalTime = time(9)


class Rotation(Settings):
    """People who take turns of `every`, from the first handoff day on or after `starts`.

    A turn is counted on the wall's clock, so that it begins at the same time of day in summer and in winter.
    """

    people: Annotated[tuple[str, ...], Field(min_length=1)]
    handoff: Handoff = Handoff()
    zone: ZoneName = "UTC"
    every: Duration = parse_duration("7d")
    starts: date = date(2024, 1, 1)

    @field_validator("every")
    @classmethod
    def _long_enough(cls, every: timedelta) -> timedelta:
        if every < _SHORTEST:
            raise ValueError("a turn is 1h or longer")
        return every


class Override(Settings):
    """Somebody stands in: of a rotation, from one time until another."""

    rotation: str
    who: str
    since: Annotated[UtcTime, Field(alias="from")]
    until: UtcTime

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.since >= self.until:
            raise ValueError("until must be later than from")
        return self


class Team(Settings):
    """Who answers for which services; `*` stands for any."""

    services: tuple[str, ...] = ("*",)
    primary: str | None = None
    secondary: str | None = None
    lead: str | None = None
    channels: tuple[str, ...] = ()


class Schedule(Settings):
    """Everybody who can be called, and when whose turn it is."""

    people: dict[str, Person] = Field(default_factory=dict)
    rotations: dict[str, Rotation] = Field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    teams: dict[str, Team] = Field(default_factory=dict)
    management: tuple[str, ...] = ()
    contacts: dict[str, Contact] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        faults = [
            *_unknown("person", self.people, self._named_people()),
            *_unknown("rotation", self.rotations, self._named_rotations()),
        ]
        taken = sorted({*self.people, *self.contacts, *self.teams} & set(ROLES))
        faults += [f"{name!r} stands for whoever has that part; use another name" for name in taken]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _named_people(self) -> Iterator[str]:
        for rotation in self.rotations.values():
            yield from rotation.people
        yield from (override.who for override in self.overrides)
        yield from (team.lead for team in self.teams.values() if team.lead)
        yield from self.management

    def _named_rotations(self) -> Iterator[str]:
        yield from (override.rotation for override in self.overrides)
        for team in self.teams.values():
            yield from (name for name in (team.primary, team.secondary) if name)

    def channels(self) -> set[str]:
        """Every channel that is named here."""
        everyone: list[Person | Contact | Team] = [*self.people.values(), *self.contacts.values()]
        everyone += self.teams.values()
        return {channel for one in everyone for channel in one.channels}

    def team_of(self, service: str) -> str | None:
        """The team that answers for a service: one that names it, before one that takes any."""
        named = (name for name, team in self.teams.items() if service in team.services)
        return next(named, next((name for name, team in self.teams.items() if "*" in team.services), None))


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
    found = []
    for name, team in schedule.teams.items():
        for role, rotation in ((PRIMARY, team.primary), (SECONDARY, team.secondary)):
            if rotation:
                found.append(Duty(name, role, rotation, turn(schedule, rotation, at)))
    return tuple(found)


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
    found = schedule.people.get(name) or schedule.contacts.get(name) or schedule.teams.get(name)
    return found.channels if found else ()


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


def _unknown(what: str, known: Iterable[str], named: Iterable[str]) -> list[str]:
    known = set(known)
    return [f"{name!r} is not a {what}{nearest(name, known)}" for name in sorted(set(named) - known)]
