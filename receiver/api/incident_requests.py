"""What requests about incidents may say."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, TypeVar, get_args

from aiohttp import web
from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration
from deploywatch.receiver.api.routing import Name, Remark
from deploywatch.receiver.settings.strategy import Severity

P = TypeVar("P", bound="Person")
NAMED = 5
TRUSTED = timedelta(hours=1)
"""For how long a person's word stands against alerts that fire on, where they do not say it."""


class Person(Settings):
    """Who does something to an incident, and what they say."""

    by: Name
    note: Remark = ""


class Several(Person):
    """Which incidents somebody takes in hand at once."""

    incidents: Annotated[tuple[Annotated[int, Field(ge=1, le=2**53)], ...], Field(min_length=1, max_length=200)]


class Resolve(Person):
    """Ends an incident; while its alerts fire only with `force`, or `hold`, after which it begins anew."""

    force: bool = False
    hold: Annotated[Duration, Field(gt=timedelta(), le=timedelta(days=7))] | None = None


class Comment(Person):
    """What a person adds to the timeline."""

    note: Annotated[Remark, Field(min_length=1)]


class Commander(Person):
    """Who leads from now on: whoever says so, when no other is named."""

    leader: Name | None = None


class Mitigation(Person):
    """Something is being done against it, or, with `over`, no longer."""

    over: bool = False


class StatusUpdate(Comment):
    """How it stands, and within what time people hear again, where that is not the usual time of its severity."""

    next_in: Duration | None = None


class Tick(Person):
    """Which item of the checklist is done, or not `done` after all."""

    item: Annotated[int, Field(ge=1, le=10_000)]
    done: bool = True


def severities_of(request: web.Request) -> list[str]:
    """The severities that a query asks for, with commas; 400 for one that there is not."""
    severities = [word for word in request.query.get("severity", "").split(",") if word]
    if unknown := [word for word in severities if word not in get_args(Severity)]:
        known = ", ".join(get_args(Severity))
        raise web.HTTPBadRequest(text=f"severity={unknown[0][:40]}: write one or several of {known}\n")
    return severities
