"""Where a storm strikes: receivers on one store, channels of every kind, a rollback command that writes a line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from deploywatch.demo.processes import Processes
from tests.receiver.process import Inbox, RealReceiver, ask, healthy_service, start_inbox
from tests.support import books
from tests.support.books import PAGER, Books
from tests.support.processes import poll
from tests.support.storm import ENVIRONMENT, SLACK_CHANNELS, Storm, cluster

_PATH = "/webhook/alertmanager"
# The line is written at once; then the command takes its time, so that a kill often strikes while it runs.
_COMMAND = ("sh", "-c", 'echo "$1 $2" >> "$3"; sleep 0.2', "rollback", "{service}", "{from_version}")

# A cluster of Alertmanagers loses a resolve now and then: when a member sends late what it saw long before, the others
# take it that nothing fires any more, and that nobody has to hear of what resolved since. Comparing heals it.
_HEALING = {"every": "3s", "settle": "3s"}


@dataclass(slots=True)
class Ground:
    """The receivers (not started yet), what blows at them, and where it is told."""

    folder: Path
    database: str
    receivers: Sequence[RealReceiver]
    inbox: Inbox
    dice: Random
    storm: Storm
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def commands(self) -> Path:
        """What the rollback command wrote, a line a run."""
        return self.folder / "commands"

    def books(self) -> Books:
        """The store and the inboxes as they are now."""
        return books.read(self.database, self.inbox.file, self.commands)

    def deploy(self, receiver: RealReceiver, service: str) -> None:
        """Record the next version of a service as deployed; it is no fault when the receiver dies meanwhile."""
        self.versions[service] = version = self.versions.get(service, 0) + 1
        new = {"service": service, "environment": ENVIRONMENT, "version": str(version), "status": "success"}
        ask(f"{receiver.url}/api/v1/deployments", json.dumps(new).encode())

    def begin(self, receiver: RealReceiver) -> None:
        """Two versions of every service are deployed, all alerts fire, and the receiver has taken them in."""
        for service in self.storm.services:
            self.deploy(receiver, service)
            self.deploy(receiver, service)
        self.storm.begin()
        self.until_taken_in()

    def until_taken_in(self, within: float = 90.0) -> None:
        """Wait until the store says of each alert what was sent last."""

        def look() -> bool | None:
            missing = books.lost(self.books(), self.storm.last.values())
            if missing:
                raise ValueError(f"{len(missing)} are not, such as {missing[0]}")
            return True

        poll(look, within=within, what="every alert is as it was sent last")

    def settle(self, within: float = 400.0) -> Books:
        """Let every alert resolve, and wait until nothing is left to do; the books as they are then."""
        self.until_taken_in(within)
        self.storm.resolve_all()

        def look() -> Books | None:
            now = self.books()
            missing = books.lost(now, self.storm.last.values())
            waiting = now.waiting
            still = [row["service"] for row in now.incidents if row["resolved_at"] is None]
            if missing or waiting or still:
                raise ValueError(f"alerts {missing[:2]}, {len(waiting)} jobs {waiting[:3]}, open incidents {still[:3]}")
            return now

        return poll(look, within=within, what="the storm settles")


@contextmanager
def ground(
    processes: Processes, folder: Path, dice: Random, *, database: str = "", replicas: int = 1, services: int = 12
) -> Iterator[Ground]:
    """Set it up, with a SQLite store unless `database` names another; each Alertmanager delivers to every replica."""
    folder.mkdir(parents=True, exist_ok=True)
    inbox = start_inbox(processes, folder / "inbox")
    database = database or f"sqlite:///{folder / 'store.db'}"
    with healthy_service("") as health:
        config = _config(folder, database, inbox, health)
        receivers = [_receiver(processes, folder / f"receiver-{number}", config) for number in range(replicas)]
        if database.startswith("postgresql"):
            _migrate(receivers[0])
        webhooks = [f"{receiver.url}{_PATH}" for receiver in receivers]
        running = cluster(processes, folder / "alertmanagers", webhooks)
        for receiver in receivers:
            receiver.configure(upstream={"alertmanagers": [task.url for task in running], "reconcile": _HEALING})
        names = [f"service-{number:02}" for number in range(services)]
        storm = Storm([task.url for task in running], names, dice)
        yield Ground(folder, database, receivers, inbox, dice, storm)


def _migrate(receiver: RealReceiver) -> None:
    command = [sys.executable, "-m", "deploywatch", "store", "migrate", "--config.file", str(receiver.file)]
    subprocess.run(command, check=True, capture_output=True)


def _receiver(processes: Processes, folder: Path, config: Mapping[str, Any]) -> RealReceiver:
    folder.mkdir(parents=True)
    receiver = RealReceiver(processes, folder, dict(config), port=processes.free_port())
    receiver.configure()
    return receiver


def _channels(inbox: Inbox) -> dict[str, Any]:
    """One of each kind, and several of Slack's, each of which takes a message a second."""
    mail = {"sender": "deploywatch@example.com", "recipients": ["ops@example.com"]}
    slack = {
        name: {"kind": "slack", "token": "xoxb-1", "channel": f"C000{number:06}", "base_url": f"{inbox.url}/api/"}
        for number, name in enumerate(SLACK_CHANNELS)
    }
    return {
        **slack,
        PAGER: {"kind": "pagerduty", "routing_key": "0" * 32, "url": inbox.url, "changes": False},
        "tools": {"kind": "webhook", "url": f"{inbox.url}/webhook", "secret": "of-no-importance-here"},
        "mail": {"kind": "email", "smtp": inbox.smtp, "security": "none", **mail},
    }


def _config(folder: Path, database: str, inbox: Inbox, health: str) -> dict[str, Any]:
    target = {
        "command": [*_COMMAND, str(folder / "commands")],
        "verify": {"url": health, "healthy_for": "0s", "within": "10s", "interval": "100ms", "watch": "0s"},
    }
    # Brakes and damping are off, so that as many rollbacks as can be are begun; what must hold is that none runs twice.
    rollback = {"mode": "auto", "cooldown": "0s", "caps": {"target": 100_000, "total": 100_000}, "breaker": 100_000}
    return {
        "database": database,
        "quiet_time": "1s",
        "damping": {"quiet_time": "1s"},
        "channels": _channels(inbox),
        # Only with a stand-in does no message come more often than twice.
        "notify": {"fallback": {"mail": "tools", "tools": "mail"}},
        "escalation": {"channels": [PAGER, "mail"]},
        "rollback": rollback | {"targets": [target]},
    }
