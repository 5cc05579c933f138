"""What the config says about people; a part of the receiver's configuration."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from deploywatch.config import Settings, nearest
from deploywatch.receiver.settings.people.causes import Causes
from deploywatch.receiver.settings.people.flapping import Damping
from deploywatch.receiver.settings.people.maintenance import RecurringWindow
from deploywatch.receiver.settings.people.on_call import Schedule
from deploywatch.receiver.settings.people.response import Escalation, Response


class PeopleSettings(Settings):
    """Who is on call, by when they must act, when actions wait for them, and what answers to which cause."""

    oncall: Schedule = Schedule()
    """Who can be called, and when whose turn it is."""
    response: Response = Response()
    """By when people must act, by severity."""
    escalation: Escalation = Escalation()
    """Whom an escalation reaches, and the steps that follow while nobody acknowledges."""
    maintenance: tuple[RecurringWindow, ...] = ()
    """Windows that recur, in which actions wait for people."""
    damping: Damping = Damping()
    """How incidents that reopen again and again are quietened."""
    causes: Causes = Field(default_factory=Causes)
    """What is done of itself for a probable cause."""

    @model_validator(mode="after")
    def _known_people(self) -> Self:
        schedule = self.oncall
        known = {*schedule.people, *schedule.contacts, *schedule.teams}
        owners = sorted(set(self.causes.owners.values()) - known)
        faults = self.escalation.unknown_people(schedule)
        faults += [f"{name!r}, who owns a dependency, is nobody in oncall{nearest(name, known)}" for name in owners]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def channels_for_people(self) -> set[str]:
        """Every channel that escalation and the schedule name."""
        return self.escalation.named_channels() | self.oncall.channels()
