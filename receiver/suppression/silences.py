"""Alertmanager's silences: what every Alertmanager says of an incident's alerts, and what that holds back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from deploywatch import logs
from deploywatch.errors import UnreachableError
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents.alerts import alert_store
from deploywatch.receiver.suppression.windows import Hold
from deploywatch.receiver.upstream.alertmanager import Silence, Silenced
from deploywatch.receiver.upstream.alertmanager import silenced as ask

# A comment becomes a part of a line of the timeline.
_COMMENT_LIMIT = 200

log = logs.get("silences")


def _good(answers: Sequence[Silenced | BaseException], incident_id: int) -> list[Silenced]:
    """The answers of those that gave one; who did not is logged."""
    for error in answers:
        if isinstance(error, UnreachableError):
            log.warning("whether it is silenced could not be asked", incident=incident_id, reason=str(error))
        elif isinstance(error, BaseException):
            raise error
    return [answer for answer in answers if isinstance(answer, Silenced)]


async def current(context: Context, incident_id: int) -> Hold | None:
    """What silences the incident now; UnreachableError when no Alertmanager answers."""
    upstream = context.settings.upstream
    if not upstream.alertmanagers:
        return None
    firing = await context.store.read(lambda connection: alert_store.firing_of(connection, incident_id))
    # Nothing fires: a silence would be about nothing, and whoever asks sees `quiet` anyway.
    if not firing:
        return None
    answers = await asyncio.gather(
        # All of a pair: silences spread between them by gossip, and one may not have heard yet.
        *(ask(context.http, server) for server in upstream.alertmanagers),
        return_exceptions=True,
    )
    seen = _good(answers, incident_id)
    if not seen:
        log.warning("nothing is held back, as no Alertmanager says whether it is silenced", incident=incident_id)
        raise UnreachableError("no Alertmanager says whether it is silenced")
    return hold(firing, seen, context.clock())


def hold(firing: Collection[str], seen: Sequence[Silenced], now: datetime) -> Hold | None:
    """What holds an incident whose firing alerts have these fingerprints, or None unless all of them are silenced.

    An alert is silenced until its last silence ends, in whichever Alertmanager; the incident until one of its alerts
    is not silenced any more.
    """
    lasting = [_last(fingerprint, seen, now) for fingerprint in firing]
    lasting_silences = [silence for silence in lasting if silence]
    # One alert that is not silenced is reason enough to go on: whoever silenced the others did not mean it.
    if not lasting_silences or len(lasting_silences) < len(lasting):
        return None
    first = min(lasting_silences, key=lambda silence: (silence.ends_at, silence.id))
    return Hold(first.ends_at, tell=False, reason=_reason(first))


def _last(fingerprint: str, seen: Iterable[Silenced], now: datetime) -> Silence | None:
    """The silence of an alert that ends last, of those that have not ended."""
    known = (answer.silences.get(number) for answer in seen for number in answer.alerts.get(fingerprint, ()))
    going_on = [silence for silence in known if silence and silence.ends_at > now]
    return max(going_on, key=lambda silence: (silence.ends_at, silence.id), default=None)


def _reason(silence: Silence) -> str:
    comment = " ".join(silence.comment.split())
    short = comment if len(comment) <= _COMMENT_LIMIT else f"{comment[:_COMMENT_LIMIT]}…"
    who = f"silenced in Alertmanager by {silence.created_by[:_COMMENT_LIMIT] or 'nobody named'}"
    return f"{who}: {short}" if short else who
