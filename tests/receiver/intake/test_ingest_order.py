"""The order and the number of deliveries do not matter: the same alerts lead to the same incidents."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.dedup_cache import AlertCache
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.intake.payload import remembered, repeated, understand
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.columns import metadata
from deploywatch.receiver.store.schema import alerts, incidents
from tests.receiver import scene
from tests.receiver.scene import MINUTE, NOON, alert, body, ended
from tests.support.examples import examples

CONFIG = scene.settings(quiet_time="5m")
APART = scene.settings(quiet_time="5m", correlate_by=["service", "environment", "alertname"])
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"name": "HighLatency"},
    {"service": "search"},
    {"name": "Down", "service": "search"},
)
End = tuple[set[tuple[str, ...]], set[tuple[str, timedelta, str]]]


def _alert(kind: int, episode: int, over: bool) -> Alert:
    firing = alert(starts=episode * MINUTE, **KINDS[kind])
    return ended(firing) if over else firing


anything = st.builds(_alert, st.integers(0, len(KINDS) - 1), st.integers(0, 2), st.booleans())


@cache
def _with_tables() -> sqlite3.Connection:
    """Tables are made once and copied: making them takes longer than what is tested."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    return _raw(engine)


def _raw(engine: Engine) -> sqlite3.Connection:
    connection = engine.raw_connection().driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection


@contextmanager
def _empty() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    try:
        _with_tables().backup(_raw(engine))
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _end(
    batches: Sequence[Sequence[Alert]], alert_cache: AlertCache | None = None, config: ReceiverConfig = CONFIG
) -> End:
    """The incidents that fire, and every fingerprint's newest episode, after these deliveries."""
    with _empty() as connection:
        for number, batch in enumerate(batches):
            now = NOON + number * timedelta(seconds=1)
            ingest(connection, config, [Delivery(now, b"", tuple(batch))], now, alert_cache)
        fires = incidents.c.open_key.is_not(None) & incidents.c.quiet_since.is_(None)
        open_now = connection.execute(select(incidents).where(fires)).all()
        current = select(alerts.c.fingerprint, alerts.c.starts_at, alerts.c.status).where(alerts.c.current)
        rows = connection.execute(current).all()
        return {(one.service, *one.correlation.values()) for one in open_now}, {
            (f, at - NOON, status) for f, at, status in rows
        }


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(anything, min_size=1, max_size=10), st.data())
def test_any_order_and_repetition_of_the_same_deliveries_ends_the_same(sent: list[Alert], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(sent), max_size=6))
    shuffled = data.draw(st.permutations([*sent, *again]))
    assert _end([[each] for each in shuffled]) == _end([[one] for one in sent])


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, min_size=1, max_size=10), st.data())
def test_one_webhook_ends_as_many_do(sent: list[Alert], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(sent)))
    assert _end([sent[:cut], sent[cut:]]) == _end([[each] for each in sent])


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, min_size=1, max_size=10), st.integers(1, 4))
def test_a_webhook_that_is_written_piece_by_piece_ends_as_one_that_is_not(sent: list[Alert], held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploywatch.receiver.intake.ingest._HELD", held)
        in_pieces = _end([sent])
    assert in_pieces == _end([[each] for each in sent])


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, min_size=1, max_size=10), st.integers(0, 3))
def test_what_is_remembered_between_commits_changes_nothing(sent: list[Alert], kept: int) -> None:
    alert_cache, batches = AlertCache(shared=False), [[each] for each in sent]
    assert _end(batches, alert_cache) == _end(batches)
    alert_cache.forget(beyond=kept)
    assert len(alert_cache.episodes) <= kept


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.lists(anything, min_size=1, max_size=4), min_size=1, max_size=6), st.booleans())
def test_bodies_that_were_read_before_lead_to_the_same_as_those_that_were_not(
    sent: list[list[Alert]], recalling: bool
) -> None:
    posted = [body(*batch) for batch in (*sent, *sent[::-1])]
    warm = [understand(post, NOON).alerts for post in posted]
    cold = [_read_anew(post) for post in posted]
    assert warm == cold
    assert _end(warm, AlertCache() if recalling else None) == _end(cold)


def _decided(
    sent: Sequence[Sequence[Alert]], recalls: Sequence[AlertCache | None]
) -> list[Counter[tuple[Effect, Reason]]]:
    """What each of these webhooks was found to be, one after another, by a replica that remembers this."""
    with _empty() as connection:
        return [
            ingest(
                connection, CONFIG, [Delivery(NOON, b"", tuple(one), digest=repr(one).encode())], NOON, alert_cache
            ).reasons
            for one, alert_cache in zip(sent, recalls, strict=True)
        ]


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.lists(anything, min_size=1, max_size=3), min_size=1, max_size=4), st.integers(1, 3), st.data())
def test_a_body_that_comes_again_to_any_replica_is_decided_as_if_nothing_were_remembered(
    sent: list[list[Alert]], replicas: int, data: st.DataObject
) -> None:
    all_sent = [*sent, *data.draw(st.lists(st.sampled_from(sent), min_size=1, max_size=12))]
    recalls = [AlertCache(shared=replicas > 1) for _ in range(replicas)]
    taken_by = [recalls[data.draw(st.integers(0, replicas - 1))] for _ in all_sent]
    assert _decided(all_sent, taken_by) == _decided(all_sent, [None] * len(all_sent))


def test_a_replica_heeds_what_another_changed_since_it_last_looked() -> None:
    fired, over = [alert()], [ended(alert())]
    one, other = AlertCache(), AlertCache()
    sent = [(fired, one), (fired, other), (over, one), (over, other), (fired, other)]
    decided = _decided([what for what, _ in sent], [alert_cache for _, alert_cache in sent])
    assert [effect for reasons in decided for effect, _ in reasons] == [
        Effect.OPEN,
        Effect.IGNORE,
        Effect.RESOLVE,
        Effect.IGNORE,
        Effect.DEFER,
    ]


def _read_anew(posted: bytes) -> tuple[Alert, ...]:
    remembered.cache_clear()
    repeated.cache_clear()
    return understand(posted, NOON).alerts


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, max_size=12))
def test_an_incident_fires_exactly_while_one_of_its_alerts_does(sent: list[Alert]) -> None:
    open_now, episodes = _end([[each] for each in sent])
    targets = {each.fingerprint: (each.labels["service"],) for each in sent}
    assert open_now == {targets[fingerprint] for fingerprint, _, status in episodes if status == "firing"}


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, min_size=1, max_size=10), st.data())
def test_incidents_that_are_told_apart_by_more_end_the_same_in_any_order(
    sent: list[Alert], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*sent, *data.draw(st.lists(st.sampled_from(sent), max_size=6))]))
    open_now, episodes = end = _end([[each] for each in sent], config=APART)
    assert _end([[each] for each in shuffled], config=APART) == end
    assert _end([shuffled], config=APART) == end
    targets = {each.fingerprint: (each.labels["service"], each.name) for each in sent}
    assert open_now == {targets[fingerprint] for fingerprint, _, status in episodes if status == "firing"}


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(anything, max_size=12))
def test_no_service_ever_has_two_open_incidents(sent: list[Alert]) -> None:
    with _empty() as connection:
        for each in sent:
            ingest(connection, CONFIG, [Delivery(NOON, b"", (each,))], NOON)
        open_now = connection.execute(
            select(incidents.c.service, incidents.c.environment).where(incidents.c.resolved_at.is_(None))
        ).all()
    assert len(open_now) == len(set(open_now))
