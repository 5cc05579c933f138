"""What the receiver shows of itself and of the ledger: counters as it works, the rest read from the store."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from deploywatch import __version__
from deploywatch.conventions import (
    ReceiverMetric,
)
from deploywatch.receiver.escalation.policy import Verdict
from deploywatch.receiver.escalation.timers import REMINDERS
from deploywatch.receiver.events import outbox
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Outcome
from deploywatch.receiver.notify import overtaken
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.upstream.reconcile import Lost

_REFUSALS = ("credentials", "rejected", "recipient", "not_configured", "in_doubt")
_LOST = ("credentials", "rejected", "timeout", "connection", "server", "recipient", "too_large", "not_configured")


class StoreFailures(Collector):
    """How often the database failed this process."""

    def __init__(self, failures: Mapping[str, int]) -> None:
        self._failures = failures

    def collect(self) -> Iterator[Metric]:
        """As it is now."""
        about = "Transactions in which the database failed, by what was asked of it."
        family = CounterMetricFamily(ReceiverMetric.STORE_FAILURES, about, labels=["operation"])
        for operation, count in self._failures.items():
            family.add_metric([operation], count)
        yield family


class Counters:
    """What is counted while the receiver works, in this process; a restart begins at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=registry)

        self.webhooks = counter(ReceiverMetric.WEBHOOKS, "Webhooks by how they were answered.", "outcome")
        about = "Alerts of webhooks that could not be read, and were put aside while the others were taken in."
        self.unreadable = counter(ReceiverMetric.UNREADABLE, about)
        self.alerts = counter(
            ReceiverMetric.ALERTS, "Alerts by what was decided about them, and why.", "effect", "reason"
        )
        about = "Alerts that were lost on the way, and found by comparing with Alertmanager."
        self.healed = counter(ReceiverMetric.HEALED, about, "reason")
        self.jobs = counter(ReceiverMetric.JOBS, "Runs of jobs by how they ended.", "kind", "outcome")
        about = "Reminders and escalation steps by what became of them when they were due."
        self.reminders = counter(ReceiverMetric.REMINDERS, about, "kind", "outcome")
        about = "Attempts to hand a message to a channel, by how they ended, and why they failed."
        self.deliveries = counter(ReceiverMetric.DELIVERIES, about, "channel", "outcome", "reason")
        about = "Events of PagerDuty's webhooks by what became of them."
        self.pagerduty_events = counter(ReceiverMetric.PAGERDUTY_EVENTS, about, "outcome")
        about = "Deployments that others announced, by what became of the announcement."
        self.announcements = counter(ReceiverMetric.ANNOUNCEMENTS, about, "source", "outcome")
        about = "Attempts to hand an event to a sink, by how they ended, and why they failed."
        self.events = counter(ReceiverMetric.EVENTS, about, "sink", "outcome", "reason")
        self.commit_seconds = Histogram(
            ReceiverMetric.WEBHOOK_COMMIT,
            "From a webhook's arrival to its commit.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
        build = Gauge("deploywatch_build_info", "The version of deploywatch.", ["version", "part"], registry=registry)
        build.labels(__version__, "receiver").set(1)
        # There at 0 from the beginning: `increase()` does not see a counter's first step from nothing to 1.
        for outcome in ("accepted", "rejected", "unavailable", "broken"):
            self.webhooks.labels(outcome)
        for lost in Lost:
            self.healed.labels(lost)

    def know(self, channels: Iterable[str]) -> None:
        """Count the deliveries of these channels from 0 on, so that an alert sees the first that fails."""
        for channel in channels:
            self.deliveries.labels(channel, "done", "")
            self.deliveries.labels(channel, "done", overtaken.TOLD_LATE)
            for reason in _REFUSALS:
                self.deliveries.labels(channel, "failed", reason)

    def know_sinks(self, sinks: Iterable[str]) -> None:
        """Count the events of these sinks from 0 on."""
        for sink in sinks:
            self.events.labels(sink, "done", "")
            for reason in _LOST:
                self.events.labels(sink, "failed", reason)

    def answered(self, outcome: str) -> None:
        """Count one webhook by its answer: accepted, rejected, unavailable, or broken by a fault of ours."""
        self.webhooks.labels(outcome).inc()

    def announced(self, source: str, became: str) -> None:
        """Count what became of an announcement."""
        self.announcements.labels(source, became).inc()

    def pagerduty(self, outcome: str) -> None:
        """Count what became of an event of PagerDuty's."""
        self.pagerduty_events.labels(outcome).inc()

    def decided(self, reasons: Tally[tuple[Effect, Reason]]) -> None:
        """Count the decisions of one commit."""
        for (effect, reason), count in reasons.items():
            self.alerts.labels(effect, reason).inc(count)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """Count one run of a job; one that will be tried again counts as a retry."""
        ended = "retry" if outcome.state is State.READY else outcome.state
        self.jobs.labels(job.kind, ended).inc()
        if job.kind == KIND:
            self.deliveries.labels(job.payload["channel"], ended, outcome.reason).inc()
        if job.kind == outbox.KIND:
            self.events.labels(job.payload["sink"], ended, outcome.reason).inc()
        if job.kind in REMINDERS:
            self.reminders.labels(job.kind, outcome.note if outcome.note in set(Verdict) else "later").inc()
