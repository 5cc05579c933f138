"""A storm: two real Alertmanagers in a cluster deliver alerts of many services that fire, resolve and fire again."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from tests.support.processes import fetch, poll

ENVIRONMENT = "production"
KINDS = {"Errors": ("critical", "rollback"), "Latency": ("high", ""), "Backlog": ("medium", ""), "Disk": ("medium", "")}
"""Each service's alerts: severity, and the action that it asks for."""
SLACK_CHANNELS = tuple(f"team-{number:02}" for number in range(12))
_STEP = timedelta(milliseconds=1)
_PATIENCE = 600.0
"""Seconds; a limit for what hangs, and no measure of how fast it is."""


def cluster(processes: Processes, folder: Path, webhooks: Sequence[str]) -> list[Running]:
    """Two Alertmanagers that gossip, each delivering to all of these URLs as soon as it can."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "alertmanager.yml"
    hooks = [{"url": url, "send_resolved": True} for url in webhooks]
    times = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "10s"}
    config.write_text(
        json.dumps(
            {
                # Nothing resolves by itself while a long storm lasts.
                "global": {"resolve_timeout": "24h"},
                "route": {"receiver": "deploywatch", "group_by": ["service"], **times},
                "receivers": [{"name": "deploywatch", "webhook_configs": hooks}],
            }
        )
    )
    gossip = [processes.free_port() for _ in range(2)]
    found = []
    for number, port in enumerate(gossip):
        peers = [
            *(f"--cluster.listen-address=127.0.0.1:{port}", f"--cluster.advertise-address=127.0.0.1:{port}"),
            *(f"--cluster.peer=127.0.0.1:{gossip[1 - number]}", "--cluster.gossip-interval=20ms"),
            # The second waits this long for the first; short, so that both often deliver the same.
            *("--cluster.peer-timeout=300ms", "--cluster.settle-timeout=10s", "--log.level=error"),
        ]
        found.append(servers.alertmanager(processes, folder / f"data-{number}", config, peers=peers))
    for one in found:
        poll(lambda url=one.url: _clustered(url), within=90, what="the two Alertmanagers find each other")  # type: ignore[misc] # mypy sees no type for the default
    return found


def _clustered(url: str) -> bool | None:
    status = fetch(f"{url}/api/v2/status")["cluster"]
    return True if status["status"] == "ready" and len(status["peers"]) == 2 else None


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent of an alert last; `ends_at` is None while it fires."""

    service: str
    name: str
    starts_at: datetime
    ends_at: datetime | None = None

    def changed(self, now: datetime) -> Sent:
        """Resolved if it fires, firing as a new episode if it is resolved."""
        if self.ends_at is None:
            return replace(self, ends_at=max(now, self.starts_at + _STEP))
        return replace(self, starts_at=max(now, self.ends_at + _STEP), ends_at=None)

    def to_json(self) -> dict[str, Any]:
        """As Alertmanager's API takes it."""
        severity, action = KINDS[self.name]
        labels = {"alertname": self.name, "service": self.service, "environment": ENVIRONMENT, "severity": severity}
        ends = {} if self.ends_at is None else {"endsAt": self.ends_at.isoformat()}
        return {
            "labels": labels | ({"action": action} if action else {}),
            "annotations": {"summary": f"{self.name} of {self.service}", "channels": ",".join(_channels(self.service))},
            "startsAt": self.starts_at.isoformat(),
            **ends,
        }


def _channels(service: str) -> tuple[str, ...]:
    """Who is told of it: one of Slack's channels, and all the others."""
    return (SLACK_CHANNELS[int(service[-2:]) % len(SLACK_CHANNELS)], "pager", "tools", "mail")


@dataclass(slots=True)
class Storm:
    """Sends alerts to every Alertmanager, and remembers what it sent last of each."""

    alertmanagers: Sequence[str]
    services: Sequence[str]
    dice: Random
    last: dict[tuple[str, str], Sent] = field(default_factory=dict)
    sent: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Fire every alert of every service."""
        now = _now()
        self._send([Sent(service, name, now) for service in self.services for name in KINDS])

    def resolve_all(self) -> None:
        """Resolve what still fires."""
        self._send([one.changed(_now()) for one in self.last.values() if one.ends_at is None])

    def blow(self) -> Future[None]:
        """Change some alerts of some service every moment, until `calm`; the result tells of trouble."""
        self._over.clear()
        executor = ThreadPoolExecutor(1, "storm")
        future = executor.submit(self._blow)
        executor.shutdown(wait=False)
        return future

    def calm(self, blowing: Future[None]) -> None:
        """Stop it."""
        self._over.set()
        blowing.result(_PATIENCE)

    def _blow(self) -> None:
        while not self._over.wait(self.dice.uniform(0.02, 0.2)):
            service = self.dice.choice(self.services)
            names = self.dice.sample(sorted(KINDS), self.dice.randint(1, len(KINDS)))
            self._send([self.last[service, name].changed(_now()) for name in names])

    def _send(self, alerts: Iterable[Sent]) -> None:
        batch = list(alerts)
        if not batch:
            return
        body = json.dumps([one.to_json() for one in batch]).encode()
        for url in self.alertmanagers:
            # As Prometheus does: an Alertmanager that a busy machine lets wait is told again; it takes it for the same.
            poll(lambda url=url: _posted(f"{url}/api/v2/alerts", body), within=_PATIENCE, what=f"{url} takes alerts")  # type: ignore[misc] # mypy sees no type for the default
        self.last.update(((one.service, one.name), one) for one in batch)
        self.sent += len(batch)


def _posted(url: str, body: bytes) -> bool:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - always http on loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()
    return True


def _now() -> datetime:
    """Now, as exactly as both stores and Alertmanager keep it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
