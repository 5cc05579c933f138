"""A storm's alerts that are alike are decided about once: what that leads to is what a look at each leads to."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents import grouping
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import Ingest, Taken, ingest
from deploywatch.receiver.store import schema
from deploywatch.receiver.store.engine import unit_of_work
from tests.receiver import scene
from tests.receiver.intake.test_ingest_order import _empty
from tests.receiver.scene import MINUTE, NOON, alert, ended
from tests.support.examples import examples

CONFIG = scene.settings(
    *("team", "other"), correlate_by=["service", "environment", "zone"], dependencies={"shop": ["search"]}
)
WORDS: dict[str, list[str | None]] = {
    "service": ["shop", "search"],
    "severity": ["high", "critical", "odd word", None],
    "zone": [None, "a"],
    "incident_type": [None, "latency"],
    "action": [None, "rollback", "nothing known"],
    "instance": ["1", "2", "3"],
}
SAID: dict[str, list[str | None]] = {
    "channels": [None, "other", "nobody"],
    "escalate_after": [None, "5m", "soon"],
    "summary": ["Bad", "Worse"],
}


def _drawn(draw: Any, words: dict[str, list[str | None]]) -> dict[str, str]:
    return {name: word for name, some in words.items() if (word := draw(st.sampled_from(some))) is not None}


@st.composite
def anything(draw: Any) -> Alert:
    """An alert, nearly always of a fingerprint of its own."""
    fingerprint = draw(st.sampled_from(["same", *map(str, range(30))]))
    one = alert(draw(st.sampled_from(["HighErrorRate", "Down"])))
    one = msgspec.structs.replace(
        one,
        fingerprint=fingerprint,
        labels={**_drawn(draw, WORDS), "alertname": one.name},
        annotations=_drawn(draw, SAID),
    )
    return ended(one) if draw(st.integers(0, 9)) == 0 else one


def _take(connection: Connection, *, sent: list[Delivery], now: datetime) -> Taken:
    return ingest(connection, CONFIG, sent, now)


def _store(batches: list[list[Alert]]) -> dict[str, list[Any]]:
    """All that is in the store after these webhooks."""
    tables = (schema.incidents, schema.alerts, schema.timeline, schema.jobs, schema.counters)
    with _empty() as connection:
        for number, batch in enumerate(batches):
            now = NOON + number * MINUTE
            sent = [Delivery(now, b"", tuple(batch))]
            unit_of_work.run(connection, partial(_take, sent=sent, now=now))
        return {table.name: sorted(map(repr, connection.execute(select(table)).all())) for table in tables}


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.lists(anything(), min_size=1, max_size=12), min_size=1, max_size=3))
def test_what_is_decided_for_alerts_that_are_alike_is_what_is_decided_for_each(sent: list[list[Alert]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ingest, "_join_like_another", lambda *_: None)
        each = _store(sent)
    assert _store(sent) == each


def test_of_a_webhook_of_like_alerts_one_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = Ingest._look_at

    def note(self: Ingest, one: Alert, *more: Any) -> Any:
        looked.append(one.labels["instance"])
        return look(self, one, *more)

    monkeypatch.setattr(Ingest, "_look_at", note)
    many = [alert(f"Down{number}", instance=str(number)) for number in range(20)]
    many = [msgspec.structs.replace(one, labels={**one.labels, "alertname": "Down"}) for one in many]
    stored = _store([many])
    assert looked == ["0", "1"], "the one that opens the incident, and the first that joins it"
    assert len(stored["alerts"]) == 20
    assert any("19 alerts joined" in line for line in stored["timeline"])


class Read(dict[str, str]):
    """Labels, or annotations, that note which of them are read by name."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.names: set[str] = set()

    def get(self, name: str, other: Any = None) -> Any:
        """Note the name."""
        self.names.add(name)
        return super().get(name, other)

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return super().__getitem__(name)


def test_whatever_is_read_of_an_alert_that_joins_is_in_its_likeness() -> None:
    first, second = (alert("Down", instance=name) for name in "12")
    labels, annotations = Read(second.labels), Read(second.annotations)
    second = msgspec.structs.replace(second, labels=labels, annotations=annotations)
    with _empty() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "likeness", lambda one, _: (one.fingerprint,))
        ingest(connection, CONFIG, [Delivery(NOON, b"", (first, second))], NOON)
    assert labels.names - {"alertname"} <= CONFIG.deciding_labels
    # The title is that of the alert that opened it; a summary goes into a message where a channel is new.
    assert annotations.names <= {"channels", "escalate_after", "summary"}
    assert grouping.likeness(first, CONFIG) == grouping.likeness(second, CONFIG)
