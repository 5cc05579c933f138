"""Heals what was lost on the way from Alertmanager: a firing that never came, a resolve that never came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, exists, select

from deploywatch import logs
from deploywatch.errors import UnreachableError
from deploywatch.receiver.alert import Alert, source_of
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import timeline as incident_timeline
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.settings.upstream import Alertmanager, Reconcile
from deploywatch.receiver.store.schema import timeline
from deploywatch.receiver.upstream.alertmanager import Seen, look, muted

log = logs.get("reconcile")


class Lost(StrEnum):
    """What was lost on the way; shown in the timeline and counted in metrics."""

    FIRING = "firing_not_delivered"
    RESOLVE = "resolve_not_delivered"


@dataclass(frozen=True, slots=True)
class Healing:
    """What has to be taken in as if it had been delivered: firings that were lost, and resolves."""

    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    missing: Mapping[str, datetime]
    """Fingerprints of alerts that no Alertmanager has, and since when; they may be over."""

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All of them."""
        return (*self.firing, *self.resolved)


def note(connection: Connection, healing: Healing, now: datetime) -> Counter[Lost]:
    """Say on the timelines what was healed, once; how many took effect, by what was lost."""
    took = Counter[Lost]()
    for alert in healing.alerts:
        current = alert_store.episodes(connection, [alert.fingerprint]).get(alert.fingerprint)
        # The gate may have decided otherwise, or a webhook came first: only what was really taken in is told.
        if current is None or current[0].firing is not alert.firing:
            continue
        took[Lost.FIRING if alert.firing else Lost.RESOLVE] += 1
        sentence, incident_id = _sentence(alert), current[1]
        written = exists().where(timeline.c.incident_id == incident_id, timeline.c.text == sentence)
        # Another replica compares as well, and writes the same sentence.
        if incident_id is not None and not connection.execute(select(written)).scalar():
            incident_timeline.write(connection, incident_id, now, Kind.HEALED, sentence)
    return took


def _sentence(alert: Alert) -> str:
    which = f"{alert.name} since {alert.starts_at:%Y-%m-%d %H:%M:%S} UTC"
    if alert.firing:
        return f"{which} fires in Alertmanager, and was never delivered ({Lost.FIRING})"
    return f"{which} is no longer in Alertmanager, and no resolve was delivered ({Lost.RESOLVE})"


def _is_newer(alert: Alert, known: Alert | None) -> bool:
    return known is None or known.starts_at < alert.starts_at


def compare(
    stored: Iterable[Alert],
    seen: Sequence[Seen],
    missing_since: Mapping[str, datetime],
    now: datetime,
    settings: Reconcile,
) -> Healing:
    """What to heal, from the alerts that fire in the store and what every Alertmanager has.

    Absence alone resolves nothing: an alert counts as resolved when every Alertmanager answered, each has been up
    for twice as long as `every`, and none has had it for `every` (`missing_since`, from the comparisons before).
    Nor is lost what each Alertmanager that has it withholds.
    """
    have = {alert.fingerprint: alert for answer in seen for alert in answer.alerts}
    # What comes from elsewhere, such as Grafana, is none of theirs: that they lack it says nothing.
    sources = {answer.source for answer in seen}
    ours = {alert.fingerprint: alert for alert in stored if source_of(alert.fingerprint) in sources}
    # Silenced, inhibited or muted: that it never came is what somebody wanted. It still fires, and so is not over.
    meant = {
        alert.fingerprint for answer in seen for alert in answer.alerts if alert.fingerprint not in answer.withheld
    }
    # What began only now is perhaps on its way: Alertmanager waits for group_wait before it sends.
    old = (have[name] for name in have if name in meant and now - have[name].starts_at >= settings.settle)
    lost = tuple(alert for alert in old if _is_newer(alert, ours.get(alert.fingerprint)))
    missing = {name: missing_since.get(name, now) for name in ours if name not in have}
    # An Alertmanager that was just started has no alerts until Prometheus sends them again.
    settled = all(now - answer.up_since >= 2 * settings.every for answer in seen)
    over = {name for name, since in missing.items() if settled and now - since >= settings.every}
    resolved = tuple(msgspec.structs.replace(ours[name], firing=False, ends_at=now) for name in sorted(over))
    return Healing(lost, resolved, {name: since for name, since in missing.items() if name not in over})


class Reconciler:
    """Remembers from round to round which alerts were missing, and since when."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._missing: Mapping[str, datetime] = {}

    async def round(self) -> Healing | None:
        """Ask every Alertmanager; what has to be healed, or None.

        Nothing is concluded when one of them gives no answer.
        """
        upstream = self._context.settings.upstream
        # First ours: what is delivered while they are asked is then no alert that they do not have.
        stored = await self._context.store.read(alert_store.firing)
        try:
            asked = upstream.reconcile.receiver
            seen = [await look(self._context.http, server, asked) for server in upstream.alertmanagers]
        except UnreachableError as error:
            log.warning("open alerts could not be compared", reason=str(error))
            # Anew: what was missing before the outage may have come and gone in it.
            self._missing = {}
            return None
        now = self._context.clock()
        # A watchdog shows that alerts arrive: that Alertmanager lists it shows nothing of the kind.
        seen = [_without(answer, upstream.watchdog.alert) for answer in seen] if upstream.watchdog else seen
        healing = compare(stored, seen, self._missing, now, upstream.reconcile)
        if healing.firing:
            seen = [
                await self._with_muted(server, answer)
                for server, answer in zip(upstream.alertmanagers, seen, strict=True)
            ]
            healing = compare(stored, seen, self._missing, now, upstream.reconcile)
        self._missing = healing.missing
        if not healing.alerts:
            return None
        log.warning("healed what was lost", firing=len(healing.firing), resolved=len(healing.resolved))
        return healing

    async def _with_muted(self, server: Alertmanager, seen: Seen) -> Seen:
        """The answer with what is muted by time; asked only where something seems lost, as it is the longer one."""
        try:
            names = await muted(self._context.http, server, self._context.settings.upstream.reconcile.receiver)
        except UnreachableError as error:
            # What cannot be known has the dangerous meaning: it is taken in.
            log.warning("which routes are muted is not known", reason=str(error))
            return seen
        return replace(seen, withheld=seen.withheld | names)


def _without(seen: Seen, name: str) -> Seen:
    return replace(seen, alerts=tuple(alert for alert in seen.alerts if alert.name != name))
