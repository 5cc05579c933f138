"""A message whose sending was cut off, so that nobody knows whether it arrived: when it may be sent once more.

This is for channels that cannot be asked. The second time waits until the receiver has stood for a while, so that
one that crashes again and again sends nothing again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

STOOD = timedelta(seconds=10)
"""How long the receiver has to stand before it sends a second time."""
STOOD_AGAIN = timedelta(minutes=1)
"""And before a third, if it ever comes to that."""
PATIENCE = timedelta(minutes=5)
"""After so long the second time no longer waits: to arrive matters more."""


class Step(StrEnum):
    """What is done about the message now."""

    SEND = "send"
    WAIT = "wait"
    STAND_IN = "stand_in"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The step, and for how long to wait where it is to wait."""

    step: Step
    after: timedelta = timedelta()


def decide(uncertain_attempts: int, *, stood: timedelta, age: timedelta, stand_in: bool) -> Verdict:
    """What to do after so many sendings that were cut off.

    `stood` is since when this receiver runs, `age` since when the message is to be told, `stand_in` whether another
    channel is told in its place. After two, that other channel is told; only without one it is sent again, since a
    message that comes three times is better than one that never comes.
    """
    if uncertain_attempts >= 2 and stand_in:
        return Verdict(Step.STAND_IN)
    needed = STOOD if uncertain_attempts < 2 else STOOD_AGAIN
    # A clock that was set back must not hold anything up.
    settling = timedelta() <= stood < needed
    if settling and (uncertain_attempts >= 2 or age < PATIENCE):
        return Verdict(Step.WAIT, needed - stood)
    return Verdict(Step.SEND)
