"""Prometheus pairs and an Alertmanager pair, played: what they send, merge, time out, forget and keep to themselves.

Alerts merge and are deduplicated as Alertmanager 0.25 to 0.28 does it; a tick is a minute, which is also the
`group_interval`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.upstream.alertmanager import Seen
from tests.receiver.scene import MINUTE, alert

TIMEOUT = 4 * MINUTE
"""How long an alert fires in Alertmanager that Prometheus does not send again."""
RESENT = 15 * MINUTE
"""How long Prometheus sends that an alert is over."""

Name = tuple[str, str]
"""A service, and the name of one of its alerts."""
WATCHDOG: Name = ("monitoring", "Watchdog")
"""The alert that always fires."""


@dataclass(frozen=True, slots=True)
class Held:
    """An alert as an Alertmanager holds it."""

    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    timeout: bool

    def fires(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return self.ends_at > now

    def merged(self, later: Held, now: datetime) -> Held:
        """What is held after another Prometheus, or the same one, has sent it again."""
        overlap = self.starts_at < later.ends_at < self.ends_at or self.starts_at < later.starts_at < self.ends_at
        if not overlap:
            return later
        ends_at = later.ends_at
        if not later.fires(now):
            ends_at = max(ends_at, self.ends_at) if not self.fires(now) else ends_at
        elif self.ends_at > ends_at and not self.timeout:
            ends_at = self.ends_at
        return replace(later, starts_at=min(self.starts_at, later.starts_at), ends_at=ends_at)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What was sent of a service last, as the notification log has it; of two the later one counts."""

    at: datetime
    number: int
    firing: frozenset[Name] = field(compare=False)
    over: frozenset[Name] = field(compare=False)


@dataclass(slots=True)
class Alertmanager:
    """One of the pair; `log` is what it takes to have been sent of each service."""

    up_since: datetime
    number: int = 0
    alerts: dict[Name, Held] = field(default_factory=dict)
    groups: set[Name] = field(default_factory=set)
    log: dict[str, Entry] = field(default_factory=dict)

    def hear(self, name: Name, sent: Held, now: datetime) -> None:
        """Take in what a Prometheus sends."""
        before = self.alerts.get(name)
        self.alerts[name] = before.merged(sent, now) if before else sent
        self.groups.add(name)

    def restart(self, now: datetime) -> None:
        """Lose the alerts, which it keeps in memory only."""
        self.alerts.clear()
        self.groups.clear()
        self.up_since = now

    def flush(self, service: str, muted: set[Name], now: datetime, send: Callable[[tuple[Alert, ...]], bool]) -> None:
        """Send a group if it changed; what is over leaves it when it was sent, or when nobody is to hear of it.

        A watchdog's group is sent again and again.
        """
        group = {name for name in self.groups if name[0] == service}
        heard = group - muted
        firing = frozenset(name for name in heard if self.alerts[name].fires(now))
        over = frozenset(heard - firing)
        repeated = service == WATCHDOG[0] and bool(firing) and now.minute % 2 == 0
        if heard and (repeated or self._changed(service, firing, over)):
            if not send(tuple(self._told(name, now) for name in sorted(heard))):
                return
            self.log[service] = Entry(now, self.number, firing, over)
        self.groups -= {name for name in group if not self.alerts[name].fires(now)}

    def _changed(self, service: str, firing: frozenset[Name], over: frozenset[Name]) -> bool:
        if service not in self.log:
            return bool(firing)
        told = self.log[service]
        if not firing <= told.firing:
            return True
        return bool(told.firing) if not firing else not over <= told.over

    def seen(self, now: datetime, muted: set[Name]) -> Seen:
        """What its API lists: what fires, and which of it is silenced."""
        listed = {name: self._told(name, now) for name, held in self.alerts.items() if held.fires(now)}
        withheld = frozenset(listed[name].fingerprint for name in listed.keys() & muted)
        return Seen(tuple(listed.values()), self.up_since, withheld=withheld)

    def _told(self, name: Name, now: datetime) -> Alert:
        held, (service, called) = self.alerts[name], name
        bare = alert(called, service=service)
        fires = held.fires(now)
        return Alert(
            bare.fingerprint, fires, held.starts_at, None if fires else held.ends_at, bare.labels, bare.annotations
        )


@dataclass(slots=True)
class Prometheus:
    """One of an HA pair, which finds everything `late` after it began."""

    late: timedelta
    paused_until: datetime
    since: dict[Name, datetime] = field(default_factory=dict)
    over: dict[Name, tuple[datetime, datetime]] = field(default_factory=dict)

    def evaluate(self, firing: set[Name], now: datetime) -> Iterator[tuple[Name, Held]]:
        """Every alert that it sends now."""
        if now < self.paused_until:
            return
        for name in sorted(firing):
            self.over.pop(name, None)
            starts_at = self.since.setdefault(name, now + self.late - MINUTE)
            yield name, Held(starts_at, now + TIMEOUT, now, timeout=True)
        for name in sorted(self.since.keys() - firing):
            self.over[name] = self.since.pop(name), now
        for name, (starts_at, ended) in sorted(self.over.items()):
            if now - ended <= RESENT:
                yield name, Held(starts_at, ended, now, timeout=False)


@dataclass(slots=True)
class World:
    """What is true, and those who tell of it."""

    now: datetime
    firing: set[Name] = field(default_factory=set)
    muted: set[Name] = field(default_factory=set)
    parted: bool = False
    prometheus: tuple[Prometheus, ...] = ()
    alertmanagers: tuple[Alertmanager, ...] = ()

    def __post_init__(self) -> None:
        """Two of each, the second Prometheus 20 seconds after the first."""
        self.prometheus = tuple(Prometheus(timedelta(seconds=late), self.now) for late in (0, 20))
        self.alertmanagers = (Alertmanager(self.now), Alertmanager(self.now, number=1))

    def tick(self, now: datetime, send: Callable[[tuple[Alert, ...]], bool]) -> None:
        """A minute passes: rules are evaluated, and groups are flushed, the second Alertmanager after the first."""
        self.now = now
        for prometheus in self.prometheus:
            for name, sent in prometheus.evaluate(self.firing | {WATCHDOG}, now):
                for alertmanager in self.alertmanagers:
                    alertmanager.hear(name, sent, now)
        for alertmanager in self.alertmanagers:
            for service in sorted({name[0] for name in alertmanager.groups}):
                if not self.parted:
                    self._gossip(service)
                alertmanager.flush(service, self.muted, now, send)

    def _gossip(self, service: str) -> None:
        """Both have the later entry of their notification logs."""
        entries = [address.log[service] for address in self.alertmanagers if service in address.log]
        if entries:
            for one in self.alertmanagers:
                one.log[service] = max(entries)

    def held(self, name: Name) -> int:
        """How many of the Alertmanagers have it firing."""
        return sum(name in address.alerts and address.alerts[name].fires(self.now) for address in self.alertmanagers)
