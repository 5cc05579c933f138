"""Metrics about people: states, how long incidents wait and last, what became of reminders."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from deploywatch.receiver.escalation import timers
from deploywatch.receiver.escalation.policy import Verdict
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.stored_metrics import snapshot
from tests.receiver.front import Front
from tests.receiver.scene import MINUTE, NOON, SECOND, Scene, alert

ANN = {"by": "ann"}


async def value(scene: Scene, name: str, **labels: str) -> float | None:
    """One sample as Prometheus would read it."""
    registry = CollectorRegistry()
    registry.register(await scene.read(lambda c: snapshot(c, scene.clock.now)))
    return registry.get_sample_value(name, labels)


async def test_incidents_are_counted_by_state_and_severity_with_zeros(api: Front) -> None:
    await api.scene.take(alert(), alert(service="search"), alert(service="mail", severity="critical"))
    await api("POST", "/incidents/1/acknowledge", ANN)
    await api("POST", "/incidents/3/mitigate", ANN)
    found = {
        (state, severity): await value(api.scene, "deploywatch_incidents", state=state, severity=severity)
        for state in ("open", "acknowledged", "mitigating", "monitoring")
        for severity in ("critical", "high", "low")
    }
    assert {key: count for key, count in found.items() if count} == {
        ("open", "high"): 1,
        ("acknowledged", "high"): 1,
        ("mitigating", "critical"): 1,
    }
    assert found["monitoring", "low"] == 0


async def test_times_until_people_act_are_histograms(api: Front) -> None:
    await api.scene.take(alert(), alert(service="search"))
    api.scene.clock.advance(15 * MINUTE)
    await api("POST", "/incidents/1/acknowledge", ANN)
    api.scene.clock.advance(SECOND)
    await api("POST", "/incidents/2/acknowledge", ANN)
    api.scene.clock.advance(15 * MINUTE - SECOND)
    await api("POST", "/incidents/1/resolve", {**ANN, "force": True})
    taken, ended = "deploywatch_incident_acknowledge_seconds", "deploywatch_incident_resolve_seconds"
    buckets = {
        bound: await value(api.scene, f"{taken}_bucket", severity="high", le=bound)
        for bound in ("300.0", "900.0", "1800.0", "+Inf")
    }
    assert buckets == {"300.0": 0, "900.0": 1, "1800.0": 2, "+Inf": 2}
    assert await value(api.scene, f"{taken}_sum", severity="high") == 1801
    assert await value(api.scene, f"{ended}_bucket", severity="high", le="1800.0") == 1
    assert await value(api.scene, f"{ended}_count", severity="critical") == 0


def test_what_becomes_of_reminders_is_counted() -> None:
    registry = CollectorRegistry()
    counters = Counters(registry)
    remind = Job(1, timers.REMINDER, "key", 1, {}, 1, NOON)
    counters.finished(remind, done(Verdict.ACKNOWLEDGED))
    counters.finished(Job(2, timers.UPDATE, "key", 1, {}, 1, NOON), Outcome(State.READY, Verdict.SENT))
    counters.finished(remind, retry("held until 14:00", MINUTE))

    def count(kind: str, outcome: str) -> float | None:
        return registry.get_sample_value("deploywatch_reminders_total", {"kind": kind, "outcome": outcome})

    assert (count("reminder", "acknowledged"), count("update_due", "sent"), count("reminder", "later")) == (1, 1, 1)
