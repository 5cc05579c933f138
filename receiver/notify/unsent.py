"""Deliveries that ended well without a message: why, in a word that is stored with them and asked about later."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, or_

from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.store.schema import jobs


class Unsent(StrEnum):
    """Why nothing was sent, which is no fault."""

    NOT_WANTED = "not_wanted"
    TOLD_ALREADY = "told_already"
    IN_ORDER = "in_order"
    OUTDATED = "outdated"


_WHY: Final = {
    Unsent.NOT_WANTED: "does not tell of such events",
    Unsent.TOLD_ALREADY: "was called as it opened",
    Unsent.IN_ORDER: "had been told nothing newer",
    Unsent.OUTDATED: "was refused until the incident was over",
}


def nothing_sent(channel: str, reason: Unsent, record: Callable[[Connection], object] | None = None) -> Outcome:
    """A delivery that is done without a message, for one of these reasons."""
    return Outcome(State.DONE, f"{channel} {_WHY[reason]}", record=record, reason=reason)


def has_told(state: str, reason: str | None) -> bool:
    """Whether a delivery that stands so has told its channel; of one that an older version did it is not known: yes."""
    return state == State.DONE and reason not in set(Unsent)


def told() -> ColumnElement[bool]:
    """What `has_told` says, for a query of jobs."""
    return and_(jobs.c.state == State.DONE, or_(jobs.c.reason.is_(None), jobs.c.reason.not_in(list(Unsent))))


def surely_told() -> ColumnElement[bool]:
    """The same, of those alone of which it is known."""
    return and_(jobs.c.state == State.DONE, jobs.c.reason.not_in(list(Unsent)))
