"""What the receiver's tests are set with: a clock to move, channels that keep what they are told, alerts to fire."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.decide import Effect, Reason
from deploywatch.receiver.incidents.delivery import Delivery
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.intake.ingest import ingest
from deploywatch.receiver.jobs.worker import Worker
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.story import Event

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class MovingClock:
    """A clock that stands still until it is moved; whoever sleeps by it moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Move it."""
        self.now += by

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)


class RecordedChannel:
    """Keeps what it is told; each entry of `failures` is raised once, before anything is kept.

    Whether something arrived it says when it `can_be_asked`.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.references: list[str | None] = []
        self.failures: deque[Exception] = deque()
        self.unwanted: set[Event] = set()
        self.tries = 0
        self.can_be_asked = False
        self.deaf: DeliveryError | None = None

    @property
    def events(self) -> list[Event]:
        """What the messages are about, in their order."""
        return [message.event for message in self.messages]

    def wants(self, event: Event) -> bool:
        """Everything but what is unwanted."""
        return event not in self.unwanted

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Keep the message; the reference is the number of the first."""
        self.tries += 1
        if self.failures:
            raise self.failures.popleft()
        self.messages.append(message)
        self.references.append(reference)
        return reference or f"thread-{len(self.messages)}"

    async def find(self, message: Message, reference: str | None) -> str | None:
        """The reference of the message, if it was kept; DeliveryError when this channel cannot be asked."""
        if self.deaf:
            raise self.deaf
        if not self.can_be_asked:
            raise DeliveryError("unknowable", "it cannot be asked", again=False)
        if message.id not in {message.id for message in self.messages}:
            return None
        return reference or f"thread-{len(self.messages)}"

    async def check(self) -> str:
        """Its credentials are good."""
        return "recorded"

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Scene:
    """A receiver without its HTTP: what comes in is taken, what is due is done, and what came of it is looked at."""

    context: Context
    clock: MovingClock
    worker: Worker
    channels: Mapping[str, RecordedChannel] = field(default_factory=dict)

    async def take(self, *alerts: Alert) -> Counter[tuple[Effect, Reason]]:
        """Take one delivery with these alerts."""
        delivery = Delivery(self.clock.now, b"{}", alerts)
        taken = await self.context.store.write(lambda c: ingest(c, self.context.settings, [delivery], self.clock.now))
        return taken.reasons

    async def drain(self) -> None:
        """Do everything that is due."""
        await self.worker.drain()

    async def after(self, by: timedelta) -> None:
        """Let time pass and do everything that is due then."""
        self.clock.advance(by)
        await self.drain()

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        """Look into the store."""
        return await self.context.store.read(work)

    async def incidents(self) -> list[Incident]:
        """Every incident, the oldest first."""
        return (await self.context.store.read(lambda c: store.recent(c, only_open=False, limit=1000)))[::-1]

    async def incident(self) -> Incident:
        """The only incident."""
        (only,) = await self.incidents()
        return only

    async def lines(self, kind: str, incident: int = 1) -> list[str]:
        """The texts of one kind in an incident's timeline."""
        entries = await self.context.store.read(lambda c: timeline.entries(c, incident))
        return [entry.text for entry in entries if entry.kind == kind]

    async def rollbacks(self) -> list[dict[str, Any]]:
        """Every rollback that began."""
        rows: list[dict[str, Any]] = await self.read(
            lambda c: [dict(row) for row in c.execute(select(rollbacks)).mappings()]
        )
        return rows

    async def deployed(self, version: str, *, ago: timedelta, service: str = "shop", good: bool = True) -> Deployment:
        """Note a deployment that began so long ago and ended at once."""
        began = self.clock.now - ago

        def write(connection: Connection) -> Deployment:
            new = ledger.start(connection, service=service, environment="production", version=version, started_at=began)
            status = Status.SUCCEEDED if good else Status.FAILED
            return ledger.finish(connection, new.id, status, began) or new

        return await self.context.store.write(write)


def settings(*channels: str, **more: Any) -> ReceiverConfig:
    """A configuration with channels of these names; `more` as in the file."""
    slack = {"kind": "slack", "token": "xoxb-1", "channel": "#incidents"}
    return ReceiverConfig.model_validate({"channels": dict.fromkeys(channels or ("team",), slack), **more})


def alert(
    name: str = "HighErrorRate",
    *,
    starts: timedelta = timedelta(),
    firing: bool = True,
    annotations: Mapping[str, str] | None = None,
    **labels: str,
) -> Alert:
    """A firing alert of the shop in production, severity high; its labels make its fingerprint."""
    whole = {"alertname": name, "service": "shop", "environment": "production", "severity": "high", **labels}
    starts_at = NOON + starts
    return Alert(
        fingerprint="-".join(sorted(whole.values())),
        firing=firing,
        starts_at=starts_at,
        ends_at=None if firing else starts_at + MINUTE,
        labels={name: value for name, value in whole.items() if value},
        annotations=annotations or {},
    )


def ended(firing: Alert) -> Alert:
    """The same episode, resolved."""
    return msgspec.structs.replace(firing, firing=False, ends_at=firing.starts_at + MINUTE)


def body(*alerts: Alert, **more: Any) -> bytes:
    """The alerts as Alertmanager sends them."""
    payload = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing" if any(alert.firing for alert in alerts) else "resolved",
        "receiver": "deploywatch",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": [alert_json(alert) for alert in alerts],
    }
    return json.dumps({**payload, **more}).encode()


def alert_json(one: Alert) -> dict[str, Any]:
    """One alert as Alertmanager sends it."""
    return {
        "status": "firing" if one.firing else "resolved",
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "startsAt": one.starts_at.isoformat().replace("+00:00", "Z"),
        "endsAt": one.ends_at.isoformat().replace("+00:00", "Z") if one.ends_at else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": one.fingerprint[:100],
    }


async def until(ready: Callable[[], bool | Awaitable[bool]], *, within: float = 90.0) -> None:
    """Poll until it is true; AssertionError when it does not become true in time."""
    deadline = time.monotonic() + within
    while not (found if isinstance(found := ready(), bool) else await found):
        assert time.monotonic() < deadline, f"not within {within:g} s"
        await asyncio.sleep(0.02)
