"""The one gate: every combination of what can stop an incident's doings, and who asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import State
from deploywatch.receiver.jobs.retry import SOONEST, Outcome
from deploywatch.receiver.suppression.gate import LOOK, Asker, Reason, Ruling, decide
from deploywatch.receiver.suppression.windows import Hold
from tests.receiver.scene import HOUR, MINUTE, NOON

INCIDENT = Incident(1, "shop", "production", "high", "errors", "", (), NOON - HOUR)
WINDOW = Hold(NOON + HOUR, tell=False, reason="the disk is swapped")
OPEN_WINDOW = replace(WINDOW, tell=True)
SILENCE = Hold(NOON + 10 * MINUTE, tell=False, reason="silenced by ann")


def rule(
    incident: Incident = INCIDENT,
    asker: Asker = Asker.TELLS,
    *,
    window: Hold | None = None,
    silence: Hold | None = None,
) -> Ruling:
    return decide(incident, window=window, silence=silence, asker=asker, now=NOON, quiet_time=5 * MINUTE)


@pytest.mark.parametrize("asker", Asker)
def test_what_nothing_stops_goes_on(asker: Asker) -> None:
    assert rule(asker=asker).opens is True


@pytest.mark.parametrize(
    ("incident", "window", "silence", "reason", "after"),
    [
        (replace(INCIDENT, quiet_since=NOON), None, None, Reason.QUIET, 5 * MINUTE),
        (INCIDENT, WINDOW, None, Reason.MAINTENANCE, HOUR),
        (INCIDENT, None, SILENCE, Reason.SILENCED, LOOK),
        (INCIDENT, None, replace(SILENCE, until=NOON), Reason.SILENCED, SOONEST),
        (replace(INCIDENT, resolved_at=NOON, quiet_since=NOON), WINDOW, None, Reason.OVER, timedelta()),
    ],
)
def test_what_stops_it_is_said_with_when_to_ask_again(
    incident: Incident, window: Hold | None, silence: Hold | None, reason: Reason, after: timedelta
) -> None:
    ruling = rule(incident, window=window, silence=silence)
    assert (ruling.reason, ruling.after) == (reason, after)


def test_a_job_that_waits_says_what_it_waits_for() -> None:
    assert rule(window=WINDOW).outcome() == Outcome(State.READY, str(WINDOW), HOUR)
    assert rule(replace(INCIDENT, quiet_since=NOON)).outcome() == Outcome(State.READY, "quiet", 5 * MINUTE)
    assert rule(replace(INCIDENT, resolved_at=NOON)).outcome() == Outcome(State.DONE, "over")


def test_a_silence_is_looked_at_again_within_a_minute_and_not_at_once() -> None:
    for left, after in ((90, 60), (60, 60), (30, 30), (1, 1), (0, 1), (-5, 1)):
        ruling = rule(silence=replace(SILENCE, until=NOON + timedelta(seconds=left)))
        assert ruling.after == timedelta(seconds=after)
    for left, after in ((7200, 7200), (1, 1), (-5, 1)):
        ruling = rule(window=replace(WINDOW, until=NOON + timedelta(seconds=left)))
        assert ruling.after == timedelta(seconds=after)


def test_a_window_that_lets_people_hear_holds_only_what_acts() -> None:
    assert rule(window=OPEN_WINDOW, asker=Asker.TELLS).opens
    assert rule(window=OPEN_WINDOW, asker=Asker.ACTS).reason is Reason.MAINTENANCE


def test_an_acknowledgement_stops_nothing_here() -> None:
    assert rule(replace(INCIDENT, acknowledged_at=NOON, acknowledged_by="ann")).opens


@given(
    resolved=st.booleans(),
    quiet=st.booleans(),
    window=st.sampled_from([None, WINDOW, OPEN_WINDOW]),
    silence=st.sampled_from([None, SILENCE]),
    asker=st.sampled_from(Asker),
)
def test_in_every_combination_exactly_what_is_free_goes_on_and_a_wait_ends(
    *, resolved: bool, quiet: bool, window: Hold | None, silence: Hold | None, asker: Asker
) -> None:
    incident = replace(INCIDENT, resolved_at=NOON if resolved else None, quiet_since=NOON if quiet else None)
    ruling = rule(incident, asker, window=window, silence=silence)
    held = window is not None and not (window.tell and asker is Asker.TELLS)
    assert ruling.opens == (not (resolved or quiet or held or silence is not None))
    if not ruling.opens:
        outcome = ruling.outcome()
        assert (outcome.state is State.DONE) is resolved
        assert resolved or outcome.after >= SOONEST
        assert outcome.note
