"""By when somebody must act: response deadlines, escalation steps, status updates and reviews, by severity."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from deploywatch.config import Settings, nearest
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.people.on_call import MANAGEMENT, PRIMARY, ROLES, TEAM_LEAD, Schedule
from deploywatch.receiver.settings.strategy import Severity

Standard = Literal["sev", "priority", "levels"]


_DAY = parse_duration("24h")


# Time to respond, by the sources: 001 incident severities (B10), 003 priorities (P6), 003 escalation levels (P8).
# Only P8 has a fourth level, so that its 24 h stand for `low` in all three.
DEADLINES: dict[Standard, dict[Severity, timedelta]] = {
    "sev": {
        "critical": parse_duration("15m"),
        "high": parse_duration("30m"),
        "medium": parse_duration("2h"),
        "low": _DAY,
    },
    "priority": {
        "critical": parse_duration("15m"),
        "high": parse_duration("1h"),
        "medium": parse_duration("4h"),
        "low": _DAY,
    },
    "levels": {
        "critical": parse_duration("15m"),
        "high": parse_duration("1h"),
        "medium": parse_duration("4h"),
        "low": _DAY,
    },
}


# Status updates while somebody works on it: 001 B11 (every 15 min) and B10 (SEV-2 every 30 min; SEV-3 as needed).
UPDATES: dict[Severity, timedelta] = {"critical": parse_duration("15m"), "high": parse_duration("30m")}


# Who is called when nobody responds in time: 001 B10 and 003 P8, which agree.
CALLED: dict[Severity, tuple[str, ...]] = {
    "critical": (PRIMARY, MANAGEMENT),
    "high": (PRIMARY, TEAM_LEAD),
    "medium": (TEAM_LEAD,),
    "low": (TEAM_LEAD,),
}


_ALWAYS_REACHED: frozenset[Severity] = frozenset({"critical", "high"})


def cannot_wait(severity: Severity) -> bool:
    """Whether somebody is called at once, also when whoever is meant is not on call at that hour."""
    return severity in _ALWAYS_REACHED


class Review(Settings):
    """After which incidents the review must be done, and within what time (003 P6 and P10: P1 and P2, 24 h)."""

    severities: tuple[Severity, ...] = ("critical", "high")
    within: Duration = _DAY


class Response(Settings):
    """Deadlines by `standard`, with `deadlines` and `updates` laid over them; 0s turns one off.

    `bridge` is where people meet about an incident; `{id}` is filled in.
    """

    standard: Standard = "sev"
    deadlines: dict[Severity, Duration] = Field(default_factory=dict)
    updates: dict[Severity, Duration] = Field(default_factory=dict)
    review: Review = Review()
    bridge: str = ""

    @model_validator(mode="after")
    def _web_address(self) -> Self:
        if self.bridge and not self.bridge.startswith(("http://", "https://")):
            raise ValueError("bridge: write a URL that begins with http:// or https://")
        return self

    def deadline(self, severity: Severity) -> timedelta | None:
        """Within what time somebody must have acknowledged; None: whenever they like."""
        return self.deadlines.get(severity, DEADLINES[self.standard][severity]) or None

    def update_every(self, severity: Severity) -> timedelta | None:
        """How often people want to hear how it stands; None: as needed."""
        return self.updates.get(severity, UPDATES.get(severity)) or None

    def bridge_of(self, incident_id: int) -> str:
        """Where people meet about this incident; empty when nothing is configured."""
        return self.bridge.replace("{id}", str(incident_id))


class Step(Settings):
    """Call these people, or tell these channels, when nobody has acknowledged `after` the incident began."""

    after: Duration
    who: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _reaches_somebody(self) -> Self:
        if not self.who and not self.channels:
            raise ValueError("a step reaches somebody: give who, channels or both")
        return self


class Escalation(Settings):
    """Whom an escalation reaches: `channels`, or every channel; and what follows while nobody acknowledges.

    Where a severity has no `steps`, one is taken when its response deadline passes, to those whom B10 and P8 name.
    """

    channels: tuple[str, ...] = ()
    steps: dict[Severity, Annotated[tuple[Step, ...], Field(max_length=50)]] = Field(default_factory=dict)

    def of(self, severity: Severity, response: Response) -> tuple[Step, ...]:
        """The steps of a severity, in their order."""
        if severity in self.steps:
            return self.steps[severity]
        deadline = response.deadline(severity)
        return (Step(after=deadline, who=CALLED[severity]),) if deadline else ()

    def is_default(self, severity: Severity) -> bool:
        """Whether the step is the sources' and not this receiver's."""
        return severity not in self.steps

    def reaches_always(self, severity: Severity) -> bool:
        """Whether the default step falls back to the escalation's channels when nobody has those parts."""
        return self.is_default(severity) and cannot_wait(severity)

    def named_channels(self) -> set[str]:
        """Every channel that is named here."""
        return set(self.channels) | {name for steps in self.steps.values() for step in steps for name in step.channels}

    def unknown_people(self, schedule: Schedule) -> list[str]:
        """Faults: names in steps that are neither a part nor anybody in the schedule."""
        known = {*ROLES, *schedule.people, *schedule.contacts, *schedule.teams}
        named = {name for steps in self.steps.values() for step in steps for name in step.who}
        return [f"{name!r} is nobody in oncall{nearest(name, known)}" for name in sorted(named - known)]
