"""When a message that may have arrived is sent once more, on a channel that cannot be asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.receiver.notify.uncertain_delivery import PATIENCE, STOOD, STOOD_AGAIN, Step, Verdict, decide
from tests.receiver.scene import HOUR, MINUTE, SECOND

NOTHING = timedelta()


def wait(seconds: float) -> Verdict:
    return Verdict(Step.WAIT, seconds * SECOND)


SEND, STAND_IN = Verdict(Step.SEND), Verdict(Step.STAND_IN)


# Sendings that were cut off, seconds since the receiver started and since the message was to be told, a stand-in.
@pytest.mark.parametrize(
    ("attempts", "stood", "age", "stand_in", "verdict"),
    [
        (1, 0, 0, False, wait(10)),
        (1, 0, 0, True, wait(10)),
        (1, 9, 299, False, wait(1)),
        (1, 9, 300, False, SEND),
        (1, 9, 301, False, SEND),
        (1, 10, 0, False, SEND),
        (1, 11, 0, False, SEND),
        (1, 3600, 0, True, SEND),
        (1, -1, 0, False, SEND),
        (2, 0, 0, True, STAND_IN),
        (2, 0, 0, False, wait(60)),
        (2, 9, 3600, False, wait(51)),
        (2, 59, 3600, False, wait(1)),
        (2, 60, 0, False, SEND),
        (2, 61, 0, False, SEND),
        (2, -1, 0, False, SEND),
        (3, 59, 3600, False, wait(1)),
        (3, 3600, 3600, True, STAND_IN),
    ],
)
def test_each_situation_has_its_step(attempts: int, stood: float, age: float, stand_in: bool, verdict: Verdict) -> None:
    assert decide(attempts, stood=stood * SECOND, age=age * SECOND, stand_in=stand_in) == verdict


def test_the_second_time_waits_until_the_receiver_has_stood_for_a_while() -> None:
    verdict = decide(1, stood=4 * SECOND, age=MINUTE, stand_in=False)
    assert verdict == Verdict(Step.WAIT, STOOD - 4 * SECOND)
    assert decide(1, stood=STOOD, age=MINUTE, stand_in=False).step is Step.SEND


def test_the_second_time_does_not_wait_for_ever_in_a_receiver_that_never_stands() -> None:
    assert decide(1, stood=NOTHING, age=PATIENCE, stand_in=False).step is Step.SEND


def test_after_two_the_stand_in_is_told() -> None:
    assert decide(2, stood=HOUR, age=NOTHING, stand_in=True).step is Step.STAND_IN


def test_without_a_stand_in_a_third_time_waits_longer_and_comes() -> None:
    waiting = decide(2, stood=STOOD, age=HOUR, stand_in=False)
    assert waiting == Verdict(Step.WAIT, STOOD_AGAIN - STOOD)
    assert decide(2, stood=STOOD_AGAIN, age=HOUR, stand_in=False).step is Step.SEND


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    assert decide(1, stood=-HOUR, age=-HOUR, stand_in=False).step is Step.SEND


@given(
    uncertain_attempts=st.integers(1, 9),
    stood=st.timedeltas(NOTHING, HOUR),
    age=st.timedeltas(NOTHING, 24 * HOUR),
    stand_in=st.booleans(),
)
def test_every_wait_ends_within_a_minute_of_standing(
    uncertain_attempts: int, stood: timedelta, age: timedelta, stand_in: bool
) -> None:
    verdict = decide(uncertain_attempts, stood=stood, age=age, stand_in=stand_in)
    if verdict.step is Step.WAIT:
        assert NOTHING < verdict.after <= STOOD_AGAIN
        later = decide(uncertain_attempts, stood=stood + verdict.after, age=age + verdict.after, stand_in=stand_in)
        assert later.step is not Step.WAIT
