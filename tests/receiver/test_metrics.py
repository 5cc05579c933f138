"""Metrics: the ledger, the open incidents and the queue, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from receiver.deployments import ledger
from receiver.incidents.rules import Effect, Reason
from receiver.jobs import Job, Outcome, State, again
from receiver.metrics import Counters, snapshot
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, NOON, Scene, alert, settings

SHOP = {"service": "shop", "environment": "production"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _parsed(registry: CollectorRegistry) -> Samples:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def _key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def _read(scene: Scene) -> Samples:
    registry = CollectorRegistry()
    registry.register(await scene.read(snapshot))
    return _parsed(registry)


async def test_the_ledger_says_what_runs_since_when_and_how_it_went(scene: Scene) -> None:
    await scene.deployed("1.2.2", ago=HOUR)
    await scene.deployed("1.2.3", ago=MINUTE, good=False)
    found = await _read(scene)
    assert found[_key("deployment_info", **SHOP, version="1.2.3")] == 1
    assert _key("deployment_info", **SHOP, version="1.2.2") not in found
    began = (NOON - MINUTE).timestamp()
    assert found[_key("deployment_started_timestamp_seconds", **SHOP, version="1.2.3")] == began
    assert found[_key("deployment_finished_timestamp_seconds", **SHOP, version="1.2.3")] == began
    assert found[_key("deployment_status", **SHOP, version="1.2.3", status="failed")] == 1
    assert found[_key("deployment_status", **SHOP, version="1.2.3", status="succeeded")] == 0
    assert found[_key("deployment_status", **SHOP, version="1.2.2", status="succeeded")] == 1


async def test_after_a_rollback_the_old_version_runs_again(scene: Scene) -> None:
    await scene.deployed("1.2.2", ago=HOUR)
    bad = await scene.deployed("1.2.3", ago=MINUTE)
    await scene.desk.store.write(lambda c: ledger.undone(c, bad.id, "1.2.2", NOON, NOON))
    found = await _read(scene)
    assert found[_key("deployment_info", **SHOP, version="1.2.2")] == 1
    assert found[_key("deployment_started_timestamp_seconds", **SHOP, version="1.2.2")] == NOON.timestamp()
    assert found[_key("deployment_status", **SHOP, version="1.2.3", status="rolled_back")] == 1


async def test_old_versions_leave_the_exposition(scene: Scene) -> None:
    for number in range(15):
        await scene.deployed(f"1.0.{number}", ago=timedelta(hours=20 - number))
    versions = [name for name, _ in await _read(scene) if name == "deployment_started_timestamp_seconds"]
    assert len(versions) == 10


async def test_open_incidents_are_counted_by_severity_with_zeros(scene: Scene) -> None:
    await scene.take(alert(), alert(service="search", severity="critical"))
    found = await _read(scene)
    assert found[_key("deploywatch_incidents_open", **SHOP, severity="high")] == 1
    assert found[_key("deploywatch_incidents_open", **SHOP, severity="critical")] == 0
    search = {"service": "search", "environment": "production"}
    assert found[_key("deploywatch_incidents_open", **search, severity="critical")] == 1


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
    found = await _read(scene)
    assert found[_key("deploywatch_incidents_open", service=name, environment="production", severity="high")] == 1


def test_answers_decisions_and_runs_are_counted() -> None:
    registry = CollectorRegistry()
    counters = Counters(registry)
    job = Job(1, "deliver", "key", 1, {}, 1, NOON)
    counters.answered("accepted")
    counters.decided(Counter({(Effect.IGNORE, Reason.DUPLICATE): 3}))
    counters.finished(job, again("later", MINUTE))
    counters.finished(job, Outcome(State.DONE))
    found = _parsed(registry)
    assert found[_key("deploywatch_webhooks_total", outcome="accepted")] == 1
    assert found[_key("deploywatch_webhooks_total", outcome="unavailable")] == 0
    assert found[_key("deploywatch_alerts_total", effect="ignore", reason="duplicate")] == 3
    assert found[_key("deploywatch_jobs_total", kind="deliver", outcome="retry")] == 1
    assert found[_key("deploywatch_jobs_total", kind="deliver", outcome="done")] == 1
