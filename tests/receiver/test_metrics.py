"""Metrics: the ledger, the open incidents and the queue, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, event

from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Outcome, retry
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.stored_metrics import snapshot
from deploywatch.receiver.story import Event
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, ended, settings

SHOP = {"service": "shop", "environment": "production"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _parsed(registry: CollectorRegistry) -> Samples:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def _key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def _read(scene: Scene) -> Samples:
    registry = CollectorRegistry()
    registry.register(await scene.read(lambda c: snapshot(c, scene.clock.now)))
    return _parsed(registry)


async def test_the_ledger_says_what_runs_since_when_and_how_it_went(scene: Scene) -> None:
    await scene.deployed("1.2.2", ago=HOUR)
    await scene.deployed("1.2.3", ago=MINUTE, good=False)
    loaded = await _read(scene)
    assert loaded[_key("deployment_info", **SHOP, version="1.2.3")] == 1
    assert _key("deployment_info", **SHOP, version="1.2.2") not in loaded
    began = (NOON - MINUTE).timestamp()
    assert loaded[_key("deployment_started_timestamp_seconds", **SHOP, version="1.2.3")] == began
    assert loaded[_key("deployment_finished_timestamp_seconds", **SHOP, version="1.2.3")] == began
    assert loaded[_key("deployment_status", **SHOP, version="1.2.3", status="failed")] == 1
    assert loaded[_key("deployment_status", **SHOP, version="1.2.3", status="succeeded")] == 0
    assert loaded[_key("deployment_status", **SHOP, version="1.2.2", status="succeeded")] == 1


async def test_after_a_rollback_the_old_version_runs_again(scene: Scene) -> None:
    await scene.deployed("1.2.2", ago=HOUR)
    bad = await scene.deployed("1.2.3", ago=MINUTE)
    await scene.context.store.write(lambda c: ledger.undone(c, bad.id, "1.2.2", NOON, NOON))
    loaded = await _read(scene)
    assert loaded[_key("deployment_info", **SHOP, version="1.2.2")] == 1
    assert loaded[_key("deployment_started_timestamp_seconds", **SHOP, version="1.2.2")] == NOON.timestamp()
    assert loaded[_key("deployment_status", **SHOP, version="1.2.3", status="rolled_back")] == 1


async def test_old_versions_leave_the_exposition(scene: Scene) -> None:
    for number in range(15):
        await scene.deployed(f"1.0.{number}", ago=timedelta(hours=20 - number))
    versions = [name for name, _ in await _read(scene) if name == "deployment_started_timestamp_seconds"]
    assert len(versions) == 10


async def test_open_incidents_are_counted_by_severity_with_zeros(scene: Scene) -> None:
    await scene.take(alert(), alert(service="search", severity="critical"))
    loaded = await _read(scene)
    assert loaded[_key("deploywatch_incidents_open", **SHOP, severity="high")] == 1
    assert loaded[_key("deploywatch_incidents_open", **SHOP, severity="critical")] == 0
    search = {"service": "search", "environment": "production"}
    assert loaded[_key("deploywatch_incidents_open", **search, severity="critical")] == 1


async def test_incidents_are_counted_for_good(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(alert(service="search"))
    assert (await _read(scene))[_key("deploywatch_incidents_total", **SHOP)] == 1


async def test_waiting_jobs_are_counted_by_kind(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail"))
    await scene.take(alert())
    assert (await _read(scene))[_key("deploywatch_jobs_queued", kind="deliver", state="ready")] == 2
    await scene.drain()
    assert _key("deploywatch_jobs_queued", kind="deliver", state="ready") not in await _read(scene)


async def test_names_with_any_character_are_escaped(scene: Scene) -> None:
    name = 'sh"op\\with\nlines'
    await scene.take(alert(service=name))
    loaded = await _read(scene)
    assert loaded[_key("deploywatch_incidents_open", service=name, environment="production", severity="high")] == 1


def test_answers_decisions_and_runs_are_counted() -> None:
    registry = CollectorRegistry()
    counters = Counters(registry)
    job = Job(1, "settle", "key", 1, {}, 1, NOON)
    counters.answered("accepted")
    counters.decided(Counter({(Effect.IGNORE, Reason.DUPLICATE): 3}))
    counters.finished(job, retry("later", MINUTE))
    counters.finished(job, Outcome(State.DONE))
    found = _parsed(registry)
    assert found[_key("deploywatch_webhooks_total", outcome="accepted")] == 1
    assert found[_key("deploywatch_webhooks_total", outcome="unavailable")] == 0
    assert found[_key("deploywatch_alerts_total", effect="ignore", reason="duplicate")] == 3
    assert found[_key("deploywatch_jobs_total", kind="settle", outcome="retry")] == 1
    assert found[_key("deploywatch_jobs_total", kind="settle", outcome="done")] == 1


async def test_deliveries_are_counted_by_channel_and_by_what_kept_them_up(make_scene: MakeScene) -> None:
    scene, registry = make_scene(settings("slack", "mail")), CollectorRegistry()
    scene.worker.finished = Counters(registry).finished
    scene.channels["mail"].unwanted.add(Event.WORSENED)
    scene.channels["slack"].failures.extend(
        (
            DeliveryError("rate_limited", "HTTP 429", again=True, after=MINUTE),
            DeliveryError("rejected", "no such channel", again=False),
        )
    )
    await scene.take(alert())
    await scene.drain()
    await scene.after(MINUTE)
    await scene.take(alert("Worse", severity="critical"))
    await scene.drain()
    found = _parsed(registry)
    name = "deploywatch_deliveries_total"
    assert {labels: count for (sample, labels), count in found.items() if sample == name} == {
        _key(name, channel="slack", outcome="retry", reason="rate_limited")[1]: 1,
        _key(name, channel="slack", outcome="failed", reason="rejected")[1]: 1,
        _key(name, channel="slack", outcome="done", reason="")[1]: 1,
        _key(name, channel="slack", outcome="done", reason="told_already")[1]: 1,
        _key(name, channel="mail", outcome="done", reason="")[
            1
        ]: 2,  # of the worsening it does not tell, so that the escalation is the call
        _key(name, channel="mail", outcome="done", reason="not_wanted")[1]: 1,
    }


async def test_the_age_of_the_queue_is_how_long_the_oldest_job_has_been_due(scene: Scene) -> None:
    await scene.take(alert())
    await scene.take(ended(alert()))  # looks again in five minutes, which is not late yet
    scene.clock.advance(2 * MINUTE)
    await scene.take(alert(service="search"))
    loaded = await _read(scene)
    assert loaded[_key("deploywatch_jobs_oldest_due_seconds", kind="deliver")] == 120
    assert loaded[_key("deploywatch_jobs_oldest_due_seconds", kind="settle")] == 0
    scene.clock.advance(-HOUR)
    assert (await _read(scene))[_key("deploywatch_jobs_oldest_due_seconds", kind="deliver")] == 0


async def test_a_channel_that_fails_shows_how_long_its_oldest_message_waits(make_scene: MakeScene) -> None:
    scene = make_scene(settings("slack", "mail"))
    scene.channels["slack"].failures.extend([DeliveryError("server", "HTTP 500", again=True)] * 9)
    await scene.take(alert())
    for _ in range(5):
        await scene.drain()
        scene.clock.advance(MINUTE)
    loaded = await _read(scene)
    assert loaded[_key("deploywatch_deliveries_waiting", channel="slack")] == 1
    assert loaded[_key("deploywatch_deliveries_oldest_seconds", channel="slack")] == 300
    assert _key("deploywatch_deliveries_waiting", channel="mail") not in loaded


async def test_actions_are_counted_by_their_outcome(make_scene: MakeScene) -> None:
    target = {"service": "search", "command": ["true"], "verify": {"url": "http://127.0.0.1:9/health"}}
    scene = make_scene(settings(rollback={"targets": [target]}))
    await scene.take(alert(severity="critical"), alert("Worse", severity="critical"))
    await scene.drain()
    refused = len(await scene.lines("rollback_refused"))
    assert refused > 0
    assert (await _read(scene))[_key("deploywatch_actions_total", action="rollback", outcome="refused")] == refused
    assert (await _read(scene))[_key("deploywatch_actions_total", action="escalate", outcome="good")] == 1


@pytest.mark.sqlite_only
async def test_what_is_over_is_not_read_to_show_the_metrics(scene: Scene) -> None:
    def rows_of_plans(connection: Connection) -> list[str]:
        found: list[str] = []

        def explain(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
            if statement.startswith("SELECT"):
                rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                found.extend(str(row[3]) for row in rows)

        event.listen(connection, "before_cursor_execute", explain)
        snapshot(connection, NOON)
        return found

    plan = await scene.read(rows_of_plans)
    whole = [step for step in plan if step.startswith("SCAN") and "ix_incidents_open" not in step]
    assert [step for step in whole if "incidents" in step or "jobs" in step or "timeline" in step] == []
