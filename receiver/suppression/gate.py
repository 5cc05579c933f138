"""The one gate before everything that an incident would do: may it go on now, and if not, why, and when to ask again.

Every handler asks here: `look` within a transaction, for what the store knows; `ask` for Alertmanager's silences too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from deploywatch.errors import UnreachableError
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.jobs.retry import SOONEST, Outcome, done, retry
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import holding, maintenance, silences
from deploywatch.receiver.suppression.windows import Hold

LOOK: Final = timedelta(minutes=1)
"""How often it is asked whether a silence was expired before its end, or does not cover every alert any more."""


class Reason(StrEnum):
    """Why something may be done now, or not."""

    GO = "go"
    OVER = "over"
    QUIET = "quiet"
    MAINTENANCE = "maintenance"
    SILENCED = "silenced"


class Asker(StrEnum):
    """Who asks: a window with `tell` lets people hear, and holds what acts."""

    TELLS = "tells"
    ACTS = "acts"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate says; `after` is how long to wait before asking again, nothing when it is over for good."""

    reason: Reason
    after: timedelta = timedelta()
    hold: Hold | None = None

    @property
    def opens(self) -> bool:
        """Whether it may be done now."""
        return self.reason is Reason.GO

    def outcome(self) -> Outcome:
        """The end of a job that the gate stopped: it waits, or there is nothing to wait for any more."""
        if self.reason is Reason.OVER:
            return done(self.reason)
        return retry(str(self.hold or self.reason), self.after)


GO: Final = Ruling(Reason.GO)


def decide(
    incident: Incident, *, window: Hold | None, silence: Hold | None, asker: Asker, now: datetime, quiet_time: timedelta
) -> Ruling:
    """Rule on an incident, what holds its service and what silences its alerts; the first that stops it is said.

    What is over never goes on again. While every alert is quiet it is either over soon, or fires anew.
    """
    # First, as the only one that is final: all others say "not now".
    if incident.resolved_at:
        return Ruling(Reason.OVER)
    # A window names its end, so it goes before quiet, which can only be asked again.
    if window and not (window.tell and asker is Asker.TELLS):
        return Ruling(Reason.MAINTENANCE, max(window.until - now, SOONEST), window)
    if incident.quiet_since:
        return Ruling(Reason.QUIET, max(quiet_time, SOONEST))
    if silence:
        return Ruling(Reason.SILENCED, max(min(silence.until - now, LOOK), SOONEST), silence)
    return GO


def window_of(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> Hold | None:
    """The maintenance window that holds the incident's service now, or None."""
    return maintenance.hold(connection, settings.maintenance, incident.service, incident.environment, now)


def look(
    connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime, *, asker: Asker
) -> Ruling:
    """Rule on what the store knows, within the transaction that goes on from there."""
    return decide(
        incident,
        window=window_of(connection, settings, incident, now),
        silence=None,
        asker=asker,
        now=now,
        quiet_time=settings.quiet_time,
    )


async def ask(
    context: Context, incident_id: int, *, asker: Asker, silenced_until: datetime | None = None
) -> tuple[Incident, Ruling]:
    """The incident as it stands, and the ruling on it; Alertmanager is asked only where nothing else stops it.

    When no Alertmanager answers, a silence counts until `silenced_until`, the end that was known before, if any.
    """
    settings, now = context.settings, context.clock()

    def read(connection: Connection) -> tuple[Incident, Ruling]:
        incident = store.get(connection, incident_id)
        return incident, look(connection, settings, incident, now, asker=asker)

    incident, ruling = await context.store.read_together(read)
    # Alertmanager is asked over the network: not for what is stopped anyway.
    if not ruling.opens:
        return incident, ruling
    try:
        silence = await silences.current(context, incident_id)
    except UnreachableError:
        # Nobody answers: a silence that was known counts to its known end, and none is invented (silence must mean
        # health).
        known = silenced_until if silenced_until and silenced_until > now else None
        silence = Hold(known, tell=False, reason="silenced") if known else None
    return incident, decide(
        incident, window=None, silence=silence, asker=asker, now=context.clock(), quiet_time=settings.quiet_time
    )


async def hold_back(context: Context, job: Job) -> Outcome | None:
    """The end of a job that acts and is held, because its incident is silenced; None when it may be done now.

    Nothing else stops it here: what is over, quiet or under maintenance is decided in the transaction that begins it.
    """
    try:
        silence = await silences.current(context, job.incident_id)
    except UnreachableError:
        return None
    if silence is None:
        return None
    hold = silence

    def keep(connection: Connection) -> None:
        incident, now = store.get(connection, job.incident_id), context.clock()
        serial_key = connection.execute(select(jobs.c.serial_key).where(jobs.c.id == job.id)).scalar_one()
        # Each minute, not at its end alone: people expire silences early, and nobody tells us.
        again = now + max(min(hold.until - now, LOOK), SOONEST)
        holding.keep_silenced(connection, hold, incident, now, job=job, serial_key=serial_key, look=again)

    return done(str(hold), keep)
