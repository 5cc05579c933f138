"""Deliveries that are really lost between a real Alertmanager and a receiver: comparing finds and heals them."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.demo import servers
from tests.receiver.process import RealReceiver, ask
from tests.support.forked import ForkedProcesses
from tests.support.processes import poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

EVERY = {"every": "1s", "settle": "2s"}
SERVICE, ALERT = "shop", "HighErrorRate"


@dataclass(slots=True)
class Way:
    """What lies between Alertmanager and the receiver; while it eats, it says 200 and passes on nothing."""

    to: str = ""
    url: str = ""
    eats: bool = False
    passed: list[str] = field(default_factory=list)
    eaten: list[str] = field(default_factory=list)

    def take(self, body: bytes) -> int:
        """Pass it on or not; the status that Alertmanager is answered with."""
        status = json.loads(body)["status"]
        if self.eats:
            self.eaten.append(status)
            return 200
        self.passed.append(status)
        return ask(self.to, body)[0] or 502


@contextmanager
def _way() -> Iterator[Way]:
    way = Way()

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(way.take(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    way.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield way
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class Ground:
    """Alertmanager, the way, and the receiver."""

    alertmanager: str
    way: Way
    receiver: RealReceiver
    began: datetime

    def send(self, *, over: bool = False) -> None:
        """Have the alert fire in Alertmanager, or be over."""
        labels = {"alertname": ALERT, "service": SERVICE, "environment": "production", "severity": "high"}
        ends = {"endsAt": datetime.now(UTC).isoformat()} if over else {}
        body = json.dumps([{"labels": labels, "startsAt": self.began.isoformat(), **ends}]).encode()
        request = urllib.request.Request(  # noqa: S310 - a server of this test
            f"{self.alertmanager}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - as above

    def until(self, status: str) -> None:
        """Wait until the only incident is so."""

        def look() -> bool | None:
            data = self.receiver.json("/api/v1/incidents?status=all")
            return True if [row["status"] for row in data] == [status] else None

        poll(look, within=90, what=f"the incident is {status}")

    def healed(self, reason: str) -> float:
        """How many alerts were healed for this reason, as the metric says."""
        families = text_string_to_metric_families(self.receiver.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        (value,) = [
            sample.value
            for sample in samples
            if sample.name == "deploywatch_alerts_healed_total" and sample.labels["reason"] == reason
        ]
        return value


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """All three, and nothing has fired yet."""
    with ForkedProcesses(tmp_path / "logs") as processes, _way() as way:
        config = tmp_path / "alertmanager.yml"
        times = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "24h"}
        hook = {"url": way.url, "send_resolved": True}
        route = {"receiver": "deploywatch", "group_by": ["service"], **times}
        config.write_text(
            json.dumps({"route": route, "receivers": [{"name": "deploywatch", "webhook_configs": [hook]}]})
        )
        running = servers.alertmanager(processes, tmp_path / "data", config)
        receiver = RealReceiver(processes, tmp_path)
        receiver.configure(
            database=f"sqlite:///{tmp_path}/store.db",
            quiet_time="0s",
            upstream={"alertmanagers": [running.url], "reconcile": EVERY},
        )
        receiver.start()
        way.to = f"{receiver.url}/webhook/alertmanager"
        yield Ground(running.url, way, receiver, datetime.now(UTC) - timedelta(minutes=1))


def test_a_firing_that_was_lost_opens_its_incident_all_the_same(ground: Ground) -> None:
    ground.way.eats = True
    ground.send()
    ground.until("open")
    poll(lambda: ground.way.eaten or None, within=90, what="Alertmanager has delivered it, and will not again")
    assert ground.way.passed == []
    (line,) = ground.receiver.timeline("healed")
    assert line.startswith(f"{ALERT} since ")
    assert line.endswith("fires in Alertmanager, and was never delivered (firing_not_delivered)")
    assert (ground.healed("firing_not_delivered"), ground.healed("resolve_not_delivered")) == (1, 0)


def test_a_resolve_that_was_lost_ends_its_incident_all_the_same(ground: Ground) -> None:
    ground.send()
    poll(lambda: ground.way.passed or None, within=90, what="the firing is delivered")
    ground.until("open")
    ground.way.eats = True
    ground.send(over=True)
    ground.until("resolved")
    assert "resolved" not in ground.way.passed
    (line,) = ground.receiver.timeline("healed")
    assert line.endswith("is no longer in Alertmanager, and no resolve was delivered (resolve_not_delivered)")
    assert (ground.healed("firing_not_delivered"), ground.healed("resolve_not_delivered")) == (0, 1)


def test_an_alert_that_came_and_went_while_the_receiver_was_off_leaves_no_incident_open(ground: Ground) -> None:
    ground.send()
    ground.until("open")
    ground.receiver.kill()
    ground.way.eats = True  # a load balancer that hides that nobody is there
    ground.send(over=True)
    poll(lambda: "resolved" in ground.way.eaten or None, within=90, what="Alertmanager takes the resolve for delivered")
    ground.receiver.start()
    ground.until("resolved")
    assert len(ground.receiver.timeline("healed")) == 1
