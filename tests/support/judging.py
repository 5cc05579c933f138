"""Judges minute by minute what a receiver believes against what is true, and against what it could know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploywatch.receiver.alert import Alert
from tests.support.alerting import WATCHDOG, Name, World

SOON = 3
"""Minutes until what Alertmanager has is known: one `group_interval`, the minute for late deliveries, and a tick."""


def name_of(alert: Alert) -> Name:
    """The alert's service and name."""
    return alert.labels["service"], alert.name


@dataclass(slots=True)
class Judge:
    """Remembers for how long each alert could be known, and what of it was delivered."""

    world: World
    healed_within: int | None
    """Minutes until comparing with Alertmanager has healed what is over; None without `upstream`."""
    firing: Counter[Name] = field(default_factory=Counter)
    over: Counter[Name] = field(default_factory=Counter)
    told: set[Name] = field(default_factory=set)
    unsaid: Counter[Name] = field(default_factory=Counter)
    """Minutes in which each that is silenced was not delivered as firing."""
    believed: frozenset[Name] = frozenset()
    ended: set[Name] = field(default_factory=set)
    open: frozenset[str] = frozenset()

    def watch(self, delivered: Iterable[Alert], *, away: bool) -> None:
        """A minute has passed in which these alerts were delivered, the last ones last."""
        self.unsaid = Counter({name: self.unsaid[name] + 1 for name in self.world.muted})
        for alert in delivered:
            name = name_of(alert)
            self.ended.discard(name)
            if alert.firing:
                self.told.add(name)
                self.unsaid[name] = 0
            else:
                self.ended.add(name)
        self.told = {name for name in self.told if name in self.world.firing and name not in self.world.muted}
        # What fires anew counts again, delivered or not: comparing with Alertmanager finds it.
        self.ended = {name for name in self.ended if not self.world.held(name)}
        known = {name for address in self.world.alertmanagers for name in address.alerts} | self.world.firing
        silent = all(prometheus.paused_until > self.world.now for prometheus in self.world.prometheus)
        for name in known - {WATCHDOG}:
            held, muted = self.world.held(name), name in self.world.muted
            knowable = held == len(self.world.alertmanagers) and not muted and not away
            self.firing[name] = self.firing[name] + 1 if knowable else 0
            gone = held == 0 and name not in self.world.firing and not away and not silent
            self.over[name] = self.over[name] + 1 if gone else 0

    def judge(self, believed: Iterable[Alert], open_services: Iterable[str]) -> list[str]:
        """What is wrong: an alert that fires and is not known, is over and is thought to fire, is silenced and was
        taken in all the same, or ended wrongly."""
        fires, open_now = {name_of(alert) for alert in believed}, frozenset(open_services)
        faults = [f"{name} fires for {age} min and is not known" for name, age in self._unknown(fires)]
        faults += [f"{name} was delivered as resolved last, and is thought to fire" for name in self._not_ended(fires)]
        if self.healed_within is not None:
            late = {name for name, age in self.over.items() if age > self.healed_within} & fires
            faults += [f"{name} is over for {self.over[name]} min, and is thought to fire" for name in late]
        unsaid = {name for name, age in self.unsaid.items() if age > SOON}
        faults += [f"{name} is silenced, and was taken in" for name in (fires - self.believed) & unsaid]
        self.believed = frozenset(fires)
        for service in self.open - open_now:
            faults += [f"{name} fires, and {service} was called resolved" for name in self._wrongly_resolved(service)]
        self.open = open_now
        return faults

    def _unknown(self, fires: set[Name]) -> Iterable[tuple[Name, int]]:
        return ((name, age) for name, age in self.firing.items() if age > SOON and name not in fires)

    def _not_ended(self, fires: set[Name]) -> Iterable[Name]:
        """What Alertmanager said last counts."""
        return self.ended & fires

    def _wrongly_resolved(self, service: str) -> Iterable[Name]:
        """Those of a service that people were told of, and that have fired in truth ever since.

        Without a watchdog a receiver cannot know that no Prometheus evaluates: then only what Alertmanager has counts.
        """
        if self.healed_within is not None:
            return (name for name in self.told if name[0] == service)
        return (name for name, age in self.firing.items() if name[0] == service and age > SOON)
