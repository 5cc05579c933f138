"""Says which parts of which teams nobody has at some hours of the coming week, and what happens then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from deploywatch.receiver.escalation.business_hours import Span
from deploywatch.receiver.escalation.on_call import Duty, Gap, duty_of
from deploywatch.receiver.settings.people.on_call import PRIMARY, SECONDARY, TEAM_LEAD, Schedule

_WEEK = timedelta(days=7)


def notes(schedule: Schedule, at: datetime) -> list[str]:
    """A sentence for each part that somebody has at some hours only; who stands in at some time is left out."""
    regular = schedule.model_copy(update={"overrides": ()})
    gaps = []
    for team in regular.teams:
        for role in (PRIMARY, SECONDARY, TEAM_LEAD):
            vacant = list(_vacant(regular, team, role, at))
            if vacant:
                zone = _zone(regular, team, role)
                spans = ", ".join(_told(span, zone) for span in vacant)
                gaps.append(
                    f"note: in the coming week nobody is {role} of {team} {spans} ({zone}); escalations that call for "
                    f"the {role} then reach escalation.channels when they are critical or high, and wait otherwise"
                )
    return gaps


def _vacant(schedule: Schedule, team: str, role: str, at: datetime) -> Iterator[Span]:
    now, end = at, at + _WEEK
    while now < end:
        match duty_of(schedule, team, role, now):
            case Duty(turn=turn):
                now = turn.until
            case Gap(until=until):
                yield Span(now, min(until, end))
                now = until
            case None:
                return


def _zone(schedule: Schedule, team: str, role: str) -> str:
    rotations = (name for name in schedule.teams[team].having(role) if name in schedule.rotations)
    return schedule.rotations[next(rotations)].zone


def _told(span: Span, zone: str) -> str:
    since, until = (moment.astimezone(ZoneInfo(zone)) for moment in span)
    return f"from {since:%A %H:%M} to {until:%A %H:%M}"
