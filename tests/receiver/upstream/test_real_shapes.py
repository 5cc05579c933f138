"""What a real Alertmanager makes of a Prometheus that pauses, of a pair that is not in step, and of equal alerts.

The shapes are prometheus/alertmanager#952 and those of two sources whose alerts bear the same labels.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from tests.receiver.process import RealReceiver
from tests.support.forked import ForkedProcesses
from tests.support.processes import fetch, poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

LABELS = {"alertname": "HighErrorRate", "service": "shop", "severity": "high"}
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A real one, which is sent alerts as Prometheus sends them: with the time until which they stand."""

    url: str

    def send(self, starts_at: datetime, ends_at: datetime) -> None:
        """Have the alert fire until then, unless it is sent again before."""
        alert = {"labels": LABELS, "startsAt": starts_at.isoformat(), "endsAt": ends_at.isoformat()}
        request = urllib.request.Request(  # noqa: S310 - a server of this test
            f"{self.url}/api/v2/alerts", json.dumps([alert]).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - as above

    def started(self) -> datetime:
        """When the only alert began, as it says now."""
        (alert,) = fetch(f"{self.url}/api/v2/alerts")
        return datetime.fromisoformat(alert["startsAt"])


@dataclass(slots=True)
class Ground:
    """A receiver, and Alertmanagers that deliver to it."""

    processes: Processes
    folder: Path
    receiver: RealReceiver

    def start(self, **settings: Any) -> None:
        """Start the receiver."""
        self.receiver.configure(database=f"sqlite:///{self.folder}/store.db", **settings)
        self.receiver.start()

    def alertmanager(self, query: str = "") -> Alertmanager:
        """Start one that delivers to the webhook's address with this query."""
        number = len(list(self.folder.glob("alertmanager-*.yml")))
        config = self.folder / f"alertmanager-{number}.yml"
        route = {"receiver": "deploywatch", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "24h"}
        hook = {"url": f"{self.receiver.url}/webhook/alertmanager{query}", "send_resolved": True}
        receivers = [{"name": "deploywatch", "webhook_configs": [hook]}]
        config.write_text(json.dumps({"route": {**route, "group_by": ["..."]}, "receivers": receivers}))
        return Alertmanager(servers.alertmanager(self.processes, self.folder / f"data-{number}", config).url)

    def until(self, **wanted: str) -> None:
        """Wait until there is an incident for each of these environments, and it has this status."""

        def look() -> bool | None:
            data = self.receiver.json("/api/v1/incidents?status=all")
            return True if {row["environment"]: row["status"] for row in data} == wanted else None

        poll(look, within=120, what=f"the incidents are {wanted}")

    def said(self, kind: str) -> str:
        """Wait for a line of this kind."""
        return poll(lambda: next(iter(self.receiver.timeline(kind)), None), within=180, what=f"it says {kind}")


def _now() -> datetime:
    """Now, as exactly as Alertmanager says it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Nothing has been started yet."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        yield Ground(processes, tmp_path, RealReceiver(processes, tmp_path, port=processes.free_port()))


def test_what_timed_out_as_prometheus_paused_and_fires_on_is_the_same_incident(ground: Ground) -> None:
    ground.start(quiet_time="10m")
    alertmanager, now = ground.alertmanager(), _now()
    began = now - HOUR
    alertmanager.send(began, now + 10 * SECOND)
    ground.until(default="open")
    ground.said("quiet")  # nobody sent it again, so Alertmanager says that it has resolved
    alertmanager.send(began, datetime.now(UTC) + HOUR)
    assert ground.said("fires_on").startswith("HighErrorRate")
    ground.until(default="open")
    assert alertmanager.started() == began
    assert ground.receiver.timeline("resolved") == []
    assert len(ground.receiver.timeline("reopened")) == 1


def test_a_start_that_the_other_prometheus_of_a_pair_lowers_does_not_keep_the_incident_open(ground: Ground) -> None:
    ground.start(quiet_time="0s")
    alertmanager, now = ground.alertmanager(), _now()
    later, earlier = now - 30 * SECOND, now - 60 * SECOND
    alertmanager.send(later, now + HOUR)
    ground.until(default="open")
    alertmanager.send(earlier, now + HOUR)
    assert alertmanager.started() == earlier
    over = datetime.now(UTC)
    alertmanager.send(earlier, over)
    alertmanager.send(later, over)
    ground.until(default="resolved")


def test_a_resolve_from_staging_ends_nothing_of_production(ground: Ground) -> None:
    ground.start(quiet_time="0s")
    sources = [ground.alertmanager(f"?environment={name}") for name in ("staging", "production")]
    now = datetime.now(UTC)
    for source in sources:
        source.send(now - HOUR, now + HOUR)
    ground.until(staging="open", production="open")
    staging, _ = sources
    staging.send(now - HOUR, datetime.now(UTC))
    ground.until(staging="resolved", production="open")
