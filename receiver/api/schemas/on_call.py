"""Who is on call, as the API answers it."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time

TeamRole = Literal["primary", "secondary", "team_lead"]


class DutyAnswer(TypedDict):
    """Who has which part in a team, from when until when; `stands_in` when by an override."""

    team: str
    role: TeamRole
    rotation: str
    person: str
    channels: list[str]
    since: Time
    until: Time
    stands_in: bool


class GapAnswer(TypedDict):
    """A part in a team that nobody has, and until when."""

    team: str
    role: TeamRole
    until: Time


class OnCallAnswer(TypedDict):
    """Everybody who can be called at a time."""

    at: Time
    on_call: list[DutyAnswer]
    gaps: list[GapAnswer]
    leads: dict[str, str]
    management: list[str]
    contacts: dict[str, str]
