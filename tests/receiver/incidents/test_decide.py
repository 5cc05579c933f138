"""What an alert does to the incidents, as a table and as laws."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploywatch.conventions import SEVERITIES
from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import Decision, Effect, Episode, Reason, decide, worse
from tests.receiver.scene import HOUR, MINUTE, NOON, SECOND, alert, ended
from tests.support.examples import examples

FIRING = alert()
LATER = alert(starts=HOUR)
FIRES, OVER = Episode(NOON, firing=True), Episode(NOON, firing=False)
NEW_FIRES = Episode(NOON + HOUR, firing=True)

# alert, what is known of it, its severity, the open incident's severity: effect, reason
TABLE = {
    "first, nothing open": (FIRING, None, "high", None, Effect.OPEN, Reason.FIRST_ALERT),
    "first, incident open": (FIRING, None, "high", "high", Effect.JOIN, Reason.INCIDENT_IS_OPEN),
    "first, milder": (FIRING, None, "low", "high", Effect.JOIN, Reason.INCIDENT_IS_OPEN),
    "first, worse": (FIRING, None, "critical", "high", Effect.WORSEN, Reason.MORE_SEVERE),
    "resolved, never seen": (ended(FIRING), None, "high", None, Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING),
    "resolved, fires": (ended(FIRING), FIRES, "high", "high", Effect.RESOLVE, Reason.ALERT_RESOLVED),
    "resolved, is over": (ended(FIRING), OVER, "high", "high", Effect.IGNORE, Reason.DUPLICATE),
    "repeated": (FIRING, FIRES, "high", "high", Effect.IGNORE, Reason.DUPLICATE),
    "repeated after a person's resolve": (FIRING, FIRES, "high", None, Effect.IGNORE, Reason.DUPLICATE),
    "late firing": (FIRING, OVER, "high", None, Effect.DEFER, Reason.EPISODE_IS_OVER),
    "older firing": (FIRING, NEW_FIRES, "high", "high", Effect.IGNORE, Reason.OLDER_EPISODE),
    "older resolved": (ended(FIRING), NEW_FIRES, "high", "high", Effect.IGNORE, Reason.OLDER_EPISODE),
    "fires again": (LATER, OVER, "high", None, Effect.OPEN, Reason.FIRST_ALERT),
    "fires again within the quiet time": (LATER, OVER, "high", "high", Effect.JOIN, Reason.INCIDENT_IS_OPEN),
    "later start without resolve": (LATER, FIRES, "high", "high", Effect.JOIN, Reason.RESOLVE_MISSED),
    "later start without resolve, worse": (LATER, FIRES, "critical", "high", Effect.WORSEN, Reason.MORE_SEVERE),
    "later start after a person's resolve": (LATER, FIRES, "high", None, Effect.OPEN, Reason.FIRST_ALERT),
    "later resolve of what fires": (ended(LATER), FIRES, "high", "high", Effect.RESOLVE, Reason.ALERT_RESOLVED),
    "later resolve of what is over": (ended(LATER), OVER, "high", None, Effect.RECORD, Reason.RESOLVED_BEFORE_FIRING),
}


@pytest.mark.parametrize("case", TABLE)
def test_each_situation_has_its_effect_and_reason(case: str) -> None:
    given_alert, known, severity, open_severity, effect, reason = TABLE[case]
    assert decide(given_alert, known, severity, open_severity, now=NOON) == Decision(effect, reason)


STOPPED = Episode(NOON, firing=False, changed_at=NOON + HOUR)
"""An episode whose resolve came an hour after its start."""
IN_TIME, TOO_LATE = NOON + HOUR + MINUTE - SECOND, NOON + HOUR + MINUTE


@pytest.mark.parametrize("start", [timedelta(), -MINUTE])
def test_a_firing_of_what_was_resolved_is_asked_about_for_a_minute_and_then_believed(start: timedelta) -> None:
    fires = alert(starts=start)
    for now in (NOON, IN_TIME):
        assert decide(fires, STOPPED, "high", None, now=now) == Decision(Effect.DEFER, Reason.EPISODE_IS_OVER)
    for now in (TOO_LATE, NOON + 5 * HOUR):
        assert decide(fires, STOPPED, "high", None, now=now) == Decision(Effect.OPEN, Reason.FIRES_ON)
        assert decide(fires, STOPPED, "high", "high", now=now) == Decision(Effect.JOIN, Reason.FIRES_ON)
        assert decide(fires, STOPPED, "high", "low", now=now) == Decision(Effect.WORSEN, Reason.MORE_SEVERE)


def test_a_new_episode_of_what_was_resolved_is_no_firing_on() -> None:
    assert decide(LATER, STOPPED, "high", None, now=TOO_LATE) == Decision(Effect.OPEN, Reason.FIRST_ALERT)
    assert decide(LATER, STOPPED, "high", "high", now=TOO_LATE) == Decision(Effect.JOIN, Reason.INCIDENT_IS_OPEN)


def test_a_victim_belongs_to_its_cause_unless_its_own_incident_is_open() -> None:
    assert decide(FIRING, None, "high", None, now=NOON, cause_is_open=True) == Decision(
        Effect.ATTACH, Reason.VICTIM_OF_DEPENDENCY
    )
    assert decide(FIRING, None, "high", "high", now=NOON, cause_is_open=True) == Decision(
        Effect.JOIN, Reason.INCIDENT_IS_OPEN
    )


BEGAN = NOON + HOUR


@pytest.mark.parametrize(
    ("starts", "ends", "decision"),
    [
        (timedelta(), None, Decision(Effect.IGNORE, Reason.OLDER_EPISODE)),
        (timedelta(), BEGAN - SECOND, Decision(Effect.IGNORE, Reason.OLDER_EPISODE)),
        (timedelta(), BEGAN + timedelta(), Decision(Effect.IGNORE, Reason.OLDER_EPISODE)),
        # Alertmanager has lowered the start, as it does for the alerts of two Prometheus.
        (timedelta(), BEGAN + SECOND, Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)),
        (HOUR, None, Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)),
        (HOUR, BEGAN + timedelta(), Decision(Effect.RESOLVE, Reason.ALERT_RESOLVED)),
    ],
)
def test_an_end_belongs_to_what_fires_unless_it_came_before_that_began(
    starts: timedelta, ends: datetime | None, decision: Decision
) -> None:
    end = msgspec.structs.replace(alert(starts=starts), firing=False, ends_at=ends)
    assert decide(end, NEW_FIRES, "high", "high", now=NOON + 2 * HOUR) == decision


def test_the_end_of_an_older_episode_than_the_one_that_is_over_is_called_so() -> None:
    over = Episode(BEGAN, firing=False)
    assert decide(ended(FIRING), over, "high", None, now=NOON) == Decision(Effect.IGNORE, Reason.OLDER_EPISODE)


def test_other_annotations_refresh_what_fires() -> None:
    changed = alert(annotations={"value": "7%"})
    assert decide(changed, FIRES, "high", "high", now=NOON) == Decision(Effect.REFRESH, Reason.ANNOTATIONS_CHANGED)


def test_severities_are_ordered_from_worst_to_least() -> None:
    assert [severity for severity in SEVERITIES if worse(severity, "medium")] == ["critical", "high"]
    assert not any(worse(severity, severity) for severity in SEVERITIES)


def test_an_alert_without_a_name_is_called_by_its_fingerprint() -> None:
    assert Alert("abc", firing=True, starts_at=NOON, ends_at=None, labels={}).name == "alert abc"


def _one(episode: int, over: bool) -> Alert:
    firing = alert(starts=timedelta(minutes=episode))
    return ended(firing) if over else firing


deliveries = st.lists(st.builds(_one, st.integers(0, 3), st.booleans()), min_size=1, max_size=10)
CHANGES = (Effect.OPEN, Effect.JOIN, Effect.WORSEN, Effect.RESOLVE, Effect.REFRESH, Effect.RECORD)


def _follow(sent: list[Alert]) -> list[Episode]:
    """The stored episode after each delivery."""
    known: Episode | None = None
    passed = []
    for each in sent:
        if decide(each, known, "high", None, now=NOON).effect in CHANGES:
            known = Episode(each.starts_at, each.firing, each.annotations)
        assert known is not None
        passed.append(known)
    return passed


@settings(max_examples=examples(200))
@given(deliveries, st.data())
def test_any_order_and_repetition_ends_in_the_same_episode(sent: list[Alert], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(sent), max_size=5))
    shuffled = data.draw(st.permutations([*sent, *repeated]))
    assert _follow(shuffled)[-1] == _follow(sent)[-1]


@settings(max_examples=examples(200))
@given(deliveries)
def test_what_is_stored_never_goes_back_to_an_older_episode(sent: list[Alert]) -> None:
    starts = [episode.starts_at for episode in _follow(sent)]
    assert starts == sorted(starts)


@settings(max_examples=examples(200))
@given(deliveries)
def test_within_an_episode_resolved_is_final(sent: list[Alert]) -> None:
    over = set()
    for episode in _follow(sent):
        assert not (episode.firing and episode.starts_at in over)
        if not episode.firing:
            over.add(episode.starts_at)


@settings(max_examples=examples(200))
@given(deliveries, st.sampled_from([None, *SEVERITIES]), st.sampled_from(SEVERITIES))
def test_a_repetition_decides_nothing_new(sent: list[Alert], open_severity: str | None, severity: str) -> None:
    known = _follow(sent)[-1]
    same = next(each for each in sent if (each.starts_at, each.firing) == (known.starts_at, known.firing))
    assert decide(same, known, severity, open_severity, now=NOON).effect is Effect.IGNORE


@given(st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_an_incident_worsens_only_for_a_worse_alert(severity: str, open_severity: str) -> None:
    effect = decide(alert(), None, severity, open_severity, now=NOON).effect
    assert (effect is Effect.WORSEN) == (SEVERITIES.index(severity) < SEVERITIES.index(open_severity))
