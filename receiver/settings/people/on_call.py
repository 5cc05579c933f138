"""Who can be called, as the config says it: rotations with overrides, teams, management and outside contacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from deploywatch.clock import UtcTime
from deploywatch.config import Settings, nearest
from deploywatch.quantity import Duration, parse_duration

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

PRIMARY, SECONDARY, TEAM, TEAM_LEAD, MANAGEMENT = "primary", "secondary", "team", "team_lead", "management"
ROLES = (PRIMARY, SECONDARY, TEAM, TEAM_LEAD, MANAGEMENT)
"""Words that stand for whoever has the part just then; everything else is a name."""

# Shorter turns would hand over more often than anybody can tell the next what is going on.
_SHORTEST = timedelta(hours=1)


def _zone(name: str) -> str:
    try:
        # By trying: the names are of this machine's or tzdata's files, and nobody keeps a list of them.
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


class Hours(Settings):
    """Hours of some days, by the clock on the wall; an end that is not later than the beginning is the next day's."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS[:5]
    since: Annotated[LocalTime, Field(alias="from")] = time(9)
    until: LocalTime = time(17)


class Rotation(Settings):
    """People who take turns of `every`, from the first handoff day on or after `starts`.

    A turn is counted on the wall's clock, so that it begins at the same time of day in summer and in winter.
    With `hours` somebody is on call in these only.
    """

    people: Annotated[tuple[str, ...], Field(min_length=1)]
    handoff: Handoff = Handoff()
    zone: ZoneName = "UTC"
    every: Duration = parse_duration("7d")
    # A Monday; any day will do, as long as it stays: turns are counted from it.
    starts: date = date(2024, 1, 1)
    hours: tuple[Hours, ...] = ()

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


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value or ()


OneOrSeveral = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_several),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A name, or several of which the first one counts that has somebody just then."""


class Team(Settings):
    """Who answers for which services; `*` stands for any.

    `primary` and `secondary` are rotations, `lead` a person or rotations.
    """

    services: tuple[str, ...] = ("*",)
    primary: OneOrSeveral = ()
    secondary: OneOrSeveral = ()
    lead: OneOrSeveral = ()
    channels: tuple[str, ...] = ()

    def having(self, role: str) -> tuple[str, ...]:
        """The rotations, or for the lead the people, that have a part."""
        return {PRIMARY: self.primary, SECONDARY: self.secondary, TEAM_LEAD: self.lead}[role]


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
        leads = {name for team in self.teams.values() for name in team.lead}
        faults = [
            *_unknown("person", self.people, self._named_people()),
            *_unknown("rotation", self.rotations, self._named_rotations()),
            *_unknown("person or a rotation", {*self.people, *self.rotations}, leads),
        ]
        both = sorted(leads & set(self.people) & set(self.rotations))
        faults += [f"the lead {name!r} is a person and a rotation; give them different names" for name in both]
        # A step of an escalation names people and roles in one list.
        taken = sorted({*self.people, *self.contacts, *self.teams} & set(ROLES))
        faults += [f"{name!r} stands for whoever has that part; use another name" for name in taken]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _named_people(self) -> Iterator[str]:
        for rotation in self.rotations.values():
            yield from rotation.people
        yield from (override.who for override in self.overrides)
        yield from self.management

    def _named_rotations(self) -> Iterator[str]:
        yield from (override.rotation for override in self.overrides)
        for team in self.teams.values():
            yield from (*team.primary, *team.secondary)

    def channels(self) -> set[str]:
        """Every channel that is named here."""
        everyone: list[Person | Contact | Team] = [*self.people.values(), *self.contacts.values()]
        everyone += self.teams.values()
        return {channel for name in everyone for channel in name.channels}

    def team_of(self, service: str) -> str | None:
        """The team that answers for a service: one that names it, before one that takes any."""
        named = (name for name, team in self.teams.items() if service in team.services)
        # A team that names the service wins over one that takes any.
        return next(named, next((name for name, team in self.teams.items() if "*" in team.services), None))


def _unknown(what: str, known: Iterable[str], named: Iterable[str]) -> list[str]:
    known = set(known)
    return [f"{name!r} is not a {what}{nearest(name, known)}" for name in sorted(set(named) - known)]
