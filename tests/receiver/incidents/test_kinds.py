"""The kinds of lines on a timeline: complete for what the code builds from words, and short enough for the store."""

from __future__ import annotations

import itertools

from deploywatch.receiver.actions.rollback.verify import Proof
from deploywatch.receiver.incidents.alerts.anomalies import EXPLANATIONS
from deploywatch.receiver.incidents.kinds import ACTIONS, Kind, counted, of_action
from deploywatch.receiver.store.schema import timeline


def test_every_state_of_a_run_has_a_kind() -> None:
    states = ("started", "good", "failed", "unknown", "refused")
    assert [of_action(action, state) for action, state in itertools.product(("scale", "run"), states)]


def test_every_state_of_a_ticket_and_a_status_page_has_a_kind() -> None:
    states = ("good", "failed", "end_good", "end_failed", "end_refused")
    assert [of_action(action, state) for action, state in itertools.product(("ticket", "status_page"), states)]


def test_every_proof_of_a_rollback_has_a_kind() -> None:
    assert {of_action("rollback", proof) for proof in Proof} <= set(Kind)


def test_every_anomaly_has_a_kind() -> None:
    assert {Kind(reason) for reason in EXPLANATIONS} <= set(Kind)


def test_a_kind_fits_into_its_column() -> None:
    assert max(len(kind) for kind in Kind) <= timeline.c.kind.type.length  # type: ignore[attr-defined] # it is a String


def test_the_end_of_every_action_is_counted() -> None:
    ends = {kind for kind in Kind if kind.removesuffix("_failed") in ACTIONS}
    assert len(ends) == len(ACTIONS)
    assert all(counted(kind) for kind in ends)
