"""`POST /webhook/pagerduty`: what people do to our alerts in PagerDuty (webhooks v3) is done to the incident here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from aiohttp import web
from sqlalchemy import Connection, select

from deploywatch import logs
from deploywatch.receiver.channels.pagerduty.requests import (
    HANDED_ON,
    PEOPLE_ONLY,
    Did,
    PagerDutyRequestError,
    PersonDid,
    Unused,
    is_of_pagerduty,
    parse,
    verify,
)
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.lifecycle import audit, resolution, response
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.store import StoreError
from deploywatch.receiver.store.schema import jobs, threads
from deploywatch.receiver.story import Event
from deploywatch.secrets import Masked

PATH: Final = "/webhook/pagerduty"
DONE, UNKNOWN_ALERT, FIRES_ON, SMALLER = "done", "unknown_alert", "fires_on", "smaller_trouble"
NOTED, IS_OVER = "noted", "is_over"
OUTCOMES: Final = (DONE, UNKNOWN_ALERT, FIRES_ON, SMALLER, NOTED, IS_OVER, *Unused, "forged", "malformed")
"""What becomes of an event; each is counted."""

_SAID: Final = {
    Did.UNACKNOWLEDGED: "not acknowledged any more",
    Did.REOPENED: "reopened",
    Did.REASSIGNED: "reassigned",
    Did.ESCALATED: "escalated",
    Did.DELEGATED: "delegated",
    Did.PRIORITY_UPDATED: "given a priority",
}

log = logs.get("pagerduty")


class PagerDutyWebhook:
    """Needs no credentials: PagerDuty signs its requests with the channel's `webhook_secret`.

    `count` takes what became of each event, one of OUTCOMES.
    """

    def __init__(self, context: Context, *, queued: Callable[[], None], count: Callable[[str], None]) -> None:
        self._context = context
        self._queued = queued
        self._count = count

    async def __call__(self, request: web.Request) -> web.Response:
        """200 once it is done, or when there was nothing to do; 401 for a forged request, 400 for a malformed one."""
        body, now = await request.read(), self._context.clock()
        try:
            channels = verify(request.headers.get("X-PagerDuty-Signature", ""), body, self._secrets())
            event = parse(body)
        except PagerDutyRequestError as error:
            self._count(error.reason)
            if error.reason == "forged":
                return web.Response(status=401, text=f"{error}\n")  # which the server counts, and logs with a limit
            log.warning("a request of PagerDuty's that cannot be read", why=str(error), remote=request.remote)
            return web.Response(status=400, text=f"{error}\n")
        if isinstance(event, Unused):
            self._count(event)
            log.info("an event of PagerDuty's that changes nothing", reason=event)
            return web.Response(text=f"{event}\n")
        person = event
        try:
            outcome = await self._context.store.write(
                lambda connection: self._do(connection, channels, person, now, request.remote or "")
            )
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n")
        self._count(outcome)
        self._queued()
        log.info("an event of PagerDuty's", what=person.did, by=person.who, outcome=outcome)
        return web.Response(text=f"{outcome}\n")

    def _secrets(self) -> Iterator[tuple[str, Masked]]:
        for name, channel in self._context.settings.channels.items():
            if isinstance(channel, PagerDutySettings) and channel.webhook_secret is not None:
                yield name, channel.webhook_secret

    def _do(
        self, connection: Connection, channels: Iterable[str], person: PersonDid, now: datetime, remote: str
    ) -> str:
        """Do it, and in the same transaction write down who did; what became of it comes back."""
        query = select(threads.c.incident_id, threads.c.channel).where(
            threads.c.reference == person.dedup_key, threads.c.channel.in_(list(channels))
        )
        row = connection.execute(query.order_by(threads.c.incident_id.desc())).first()
        if row is None:
            return UNKNOWN_ALERT
        incident = store.get(connection, row.incident_id)
        outcome = self._apply(connection, incident, row.channel, person, now)
        what = f"pagerduty.{person.did.name.lower()}"
        record = audit.Entry(
            at=now, who=person.who, verified=True, what=what, path=PATH, incident_id=incident.id, remote=remote
        )
        audit.record(connection, record)
        return outcome

    def _apply(self, connection: Connection, incident: Incident, channel: str, person: PersonDid, now: datetime) -> str:
        settings, who = self._context.settings, person.who
        if person.did not in PEOPLE_ONLY:
            return self._pass_on(connection, incident, person, now)
        # Who took the smaller trouble has not seen the bigger one yet.
        if _worse_is_on_its_way(connection, incident, channel):
            text = f"{person.did.name.lower()} in PagerDuty, which had not heard yet that it became {incident.severity}"
            timeline.write(connection, incident.id, now, Kind.ACTION_REFUSED, f"{text}: that does not count", actor=who)
            return SMALLER
        if person.did is Did.ACKNOWLEDGED:
            response.acknowledge(connection, settings, incident, now, by=who, note="acknowledged in PagerDuty")
            return DONE
        firing = sorted({alert.name for alert in alert_views.views(connection, incident.id) if alert.firing})
        if not firing or incident.resolved_at:
            resolution.resolve(connection, settings, incident, now, by=who, why="resolved in PagerDuty")
            return DONE
        # What fires is not over because somebody closed its page; but a person has seen it.
        note = f"resolved in PagerDuty while {', '.join(firing)} fires: it stays open until that ends, and is in hand"
        response.acknowledge(connection, settings, incident, now, by=who, note=note)
        return FIRES_ON

    def _pass_on(self, connection: Connection, incident: Incident, person: PersonDid, now: datetime) -> str:
        """Void the acknowledgement that came from PagerDuty, where that is given back there; note the rest."""
        what = f"{_SAID[person.did]} in PagerDuty"
        if person.did is Did.PRIORITY_UPDATED:
            what += f" ({person.whom or 'none'}): the severity stays that of the alerts"
        elif person.whom and person.did in HANDED_ON:
            what += f" to {person.whom}"
        by, gives_back = incident.acknowledged_by, person.gives_back and not incident.resolved_at
        # Only what PagerDuty gave it takes back: who took the incident here has it still.
        if gives_back and is_of_pagerduty(by):
            response.give_back(connection, self._context.settings, incident, now, by=person.who, note=what)
            return DONE
        if incident.resolved_at:
            what += "; it is over here"
        elif gives_back and by:
            what += f"; {by} took it here, and has it still"
        timeline.write(connection, incident.id, now, Kind.COMMENT, what, actor=person.who)
        return IS_OVER if incident.resolved_at else NOTED


def _worse_is_on_its_way(connection: Connection, incident: Incident, channel: str) -> bool:
    """Whether the channel has yet to hear of the worse trouble, so that what is said there is about the smaller one."""
    query = select(jobs.c.payload).where(
        jobs.c.incident_id == incident.id, jobs.c.kind == KIND, jobs.c.finished_at.is_(None)
    )
    waiting = connection.execute(query).scalars()
    return any(payload["channel"] == channel and payload["event"] == Event.WORSENED for payload in waiting)
