"""How a run of a job ends: done, given up, or to be retried, and how long after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from deploywatch.receiver.jobs.job import Job, State

SOONEST = timedelta(seconds=1)
"""A retry is not before this, so that nothing is asked again without a pause."""
# Longer pauses would leave people untold for long after a channel is well again.
_MAX_BACKOFF = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of a job ended; `record` writes what it changed, in the transaction that finishes the job.

    `reason` is a bounded word for metrics; `uncertain_attempts` is None where they are as before.
    """

    state: State
    note: str = ""
    after: timedelta = timedelta()
    record: Callable[[Connection], object] | None = None
    reason: str = ""
    uncertain_attempts: int | None = None


Handler = Callable[[Job], Awaitable[Outcome]]


def done(note: str = "", record: Callable[[Connection], object] | None = None) -> Outcome:
    """The job is finished."""
    return Outcome(State.DONE, note, record=record)


def retry(note: str, after: timedelta, *, reason: str = "", uncertain_attempts: int | None = None) -> Outcome:
    """The job is to be tried again, not before `after`."""
    return Outcome(State.READY, note, after, reason=reason, uncertain_attempts=uncertain_attempts)


def failed(note: str, record: Callable[[Connection], object] | None = None, *, reason: str = "") -> Outcome:
    """The job is given up."""
    return Outcome(State.FAILED, note, record=record, reason=reason)


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 1 s, doubled each time, at most 5 minutes."""
    # The exponent is bounded too: after a day of attempts 2 to their number would be no timedelta any more.
    return min(timedelta(seconds=2 ** min(attempts - 1, 10)), _MAX_BACKOFF)
