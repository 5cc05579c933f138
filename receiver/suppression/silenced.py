"""Holds back what would be done about an incident that is silenced in Alertmanager."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from deploywatch import logs
from deploywatch.errors import UnreachableError
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import alerts, store
from deploywatch.receiver.incidents.store import Incident
from deploywatch.receiver.jobs.queue import Job, Outcome, done
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.suppression import holding
from deploywatch.receiver.suppression.silences import hold
from deploywatch.receiver.suppression.windows import Hold
from deploywatch.receiver.upstream.alertmanager import Silenced
from deploywatch.receiver.upstream.alertmanager import silenced as ask

LOOK = timedelta(minutes=1)
"""How often it is asked whether a silence was expired before its end, or does not cover every alert any more."""
_SOONEST = timedelta(seconds=1)

log = logs.get("silences")


async def hold_back(context: Context, job: Job) -> Outcome | None:
    """The end of a job that is held, because its incident is silenced; None when it may be done now."""
    try:
        hold_ = await _current(context, job.incident_id)
    except UnreachableError:
        return None
    if hold_ is None:
        return None

    def keep(connection: Connection) -> None:
        incident, now = store.get(connection, job.incident_id), context.clock()
        serial_key = connection.execute(select(jobs.c.serial_key).where(jobs.c.id == job.id)).scalar_one()
        holding.keep_silenced(
            connection, hold_, incident, now, job=job, serial_key=serial_key, look=now + _pause(hold_, now)
        )

    return done(str(hold_), keep)


async def pause(context: Context, incident: Incident, *, known_until: datetime | None = None) -> timedelta | None:
    """For how long to wait before looking again, because the incident is silenced; None when it is not.

    When no Alertmanager answers, a silence counts until the end that was known before, if any.
    """
    try:
        hold_ = await _current(context, incident.id)
    except UnreachableError:
        left = known_until - context.clock() if known_until else timedelta()
        return min(left, LOOK) if left > timedelta() else None
    return _pause(hold_, context.clock()) if hold_ else None


async def _current(context: Context, incident_id: int) -> Hold | None:
    """What silences the incident now; UnreachableError when no Alertmanager answers."""
    upstream = context.settings.upstream
    if not upstream.alertmanagers:
        return None
    firing = await context.store.read(lambda connection: alerts.firing_of(connection, incident_id))
    if not firing:
        return None
    answers = await asyncio.gather(*(ask(context.http, url) for url in upstream.alertmanagers), return_exceptions=True)
    seen = [answer for answer in answers if isinstance(answer, Silenced)]
    for error in answers:
        if isinstance(error, UnreachableError):
            log.warning("whether it is silenced could not be asked", incident=incident_id, reason=str(error))
        elif isinstance(error, BaseException):
            raise error
    if not seen:
        log.warning("nothing is held back, as no Alertmanager says whether it is silenced", incident=incident_id)
        raise UnreachableError("no Alertmanager says whether it is silenced")
    return hold(firing, seen, context.clock())


def _pause(hold: Hold, now: datetime) -> timedelta:
    return max(min(hold.until - now, LOOK), _SOONEST)
