"""A silence in a real Alertmanager holds a rollback that waits, and expiring it lets go."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from tests.receiver.process import RealReceiver
from tests.support.processes import poll

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

LABELS = {"alertname": "HighErrorRate", "service": "shop", "environment": "production", "severity": "critical"}
ROUTE = {"receiver": "deploywatch", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "24h"}


def call(method: str, url: str, body: Any = None) -> Any:
    """Ask Alertmanager; its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - a server of this test
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        return json.loads(response.read() or b"null")


@dataclass(slots=True)
class Ground:
    """Alertmanager, the receiver that it delivers to, and the file that a rollback writes."""

    alertmanager: str
    receiver: RealReceiver
    ran: Path

    def fire(self) -> None:
        """Have the alert fire."""
        began = datetime.now(UTC).isoformat()
        call("POST", f"{self.alertmanager}/api/v2/alerts", [{"labels": LABELS, "startsAt": began}])

    def silence(self) -> str:
        """Silence the service for an hour; the number of the silence."""
        now = datetime.now(UTC)
        matcher = {"name": "service", "value": "shop", "isRegex": False, "isEqual": True}
        body = {
            "matchers": [matcher],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "ann",
            "comment": "the disk is swapped",
        }
        return str(call("POST", f"{self.alertmanager}/api/v2/silences", body)["silenceID"])

    def line(self, kind: str) -> str:
        """Wait for the first line of this kind."""
        return poll(
            lambda: next(iter(self.receiver.timeline(kind)), None), within=120, what=f"the timeline says {kind}"
        )


@contextmanager
def _ground(processes: Processes, folder: Path) -> Iterator[Ground]:
    receiver = RealReceiver(processes, folder, port=processes.free_port())
    config = folder / "alertmanager.yml"
    hook = {"url": f"{receiver.url}/webhook/alertmanager"}
    config.write_text(json.dumps({"route": ROUTE, "receivers": [{"name": "deploywatch", "webhook_configs": [hook]}]}))
    alertmanager = servers.alertmanager(processes, folder / "data", config)
    ran = folder / "ran"
    target = {
        "command": [sys.executable, "-c", f"open({str(ran)!r}, 'a').write('x')"],
        "verify": {"url": "http://127.0.0.1:1/"},
    }
    receiver.configure(
        database=f"sqlite:///{folder}/store.db",
        upstream={"alertmanagers": [alertmanager.url]},
        rollback={"mode": "auto", "delay": "15s", "targets": [target]},
    )
    receiver.start()
    receiver.deploy("1.2.2", "1.2.3")
    yield Ground(alertmanager.url, receiver, ran)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """All of them, two versions deployed, and nothing has fired yet."""
    with Processes(tmp_path / "logs") as processes, _ground(processes, tmp_path) as ground:
        yield ground


def test_a_silence_that_is_set_while_a_rollback_waits_holds_it_until_it_is_expired(ground: Ground) -> None:
    ground.fire()
    poll(lambda: ground.receiver.json("/api/v1/incidents?status=all") or None, within=90, what="an incident opens")
    number = ground.silence()
    held = ground.line("action_held")
    assert held.startswith("rollback: held until ")
    assert held.endswith(" UTC: silenced in Alertmanager by ann: the disk is swapped")
    assert not ground.ran.exists()
    call("DELETE", f"{ground.alertmanager}/api/v2/silence/{number}")
    assert ground.line("action_released") == "not silenced any more: rollback"
    poll(lambda: ground.ran.exists() or None, within=90, what="the rollback runs")
    assert len(ground.receiver.timeline("rollback_started")) == 1
