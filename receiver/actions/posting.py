"""Notifies an external system of an incident as JSON, once when it opens and once when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from sqlalchemy import Connection, select

from deploywatch import json_text, responses
from deploywatch.receiver.channels import errors
from deploywatch.receiver.context import Context
from deploywatch.receiver.executors.http import at
from deploywatch.receiver.incidents import kinds, store, timeline
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job, NewJob, State
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, backoff, done, failed, retry
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.rendering.filters import lasting, web_link
from deploywatch.receiver.rendering.text import clean, line
from deploywatch.receiver.settings.actions.posting import Post
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.placeholders import filled
from deploywatch.receiver.store import upsert
from deploywatch.receiver.store.schema import jobs, threads

# Bytes that are read of an answer: all that is wanted of it is a reference.
_ANSWER_LIMIT = 1024**2
_TEXT_LIMIT = 2000
_REFERENCE_LIMIT = 200


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: Any
    key: str


@dataclass(frozen=True, slots=True)
class HttpSystem:
    """An external system notified over HTTP; `kind` is the action's name, `what` the system's name for people."""

    kind: str
    what: str

    @property
    def end(self) -> str:
        """The kind of the job that says that the incident is over."""
        return f"{self.kind}_end"

    @property
    def _thread(self) -> str:
        """The name under which the system's reference is stored; no channel's name has a comma."""
        return f",{self.kind}"

    async def open(self, context: Context, job: Job, settings: Post | None) -> Outcome:
        """Send the opening notification; a failure that may pass is retried, and the timeline says how it ended."""
        if settings is None:
            return done(*self._said(context, job, "refused", f"{self.what} refused (no_target): none is configured"))
        values = await context.store.read(lambda connection: _facts(connection, context, job))
        try:
            whole = _Request("POST", settings.url, filled(settings.body, values), values["key"])
            answer = await _send(context, settings, whole)
        except DeliveryError as error:
            return self._trouble(context, job, settings, error)
        link = web_link(line(_found(answer, settings.link), _TEXT_LIMIT))
        reference = line(_found(answer, settings.reference), _REFERENCE_LIMIT)
        text, write = self._said(context, job, "good", f"{self.what} opened{f': {link}' if link else ''}")

        def record(connection: Connection) -> None:
            row = {"incident_id": job.incident_id, "channel": self._thread, "reference": reference}
            upsert(connection, threads, [row])
            write(connection)

        return done(text, record)

    def queue_end(self, connection: Connection, settings: Post | None, incident: Incident, now: datetime) -> None:
        """Queue the closing notification behind the opening one; none without an opening, or where none is wanted."""
        asked = select(jobs.c.id).where(jobs.c.key == f"{self.kind}:{incident.id}")
        if settings is None or settings.resolved is None or connection.execute(asked).scalar() is None:
            return
        serial_key = f"{self.kind}:{incident.id}"
        enqueue(
            connection, now, NewJob(self.end, f"{self.end}:{incident.id}", serial_key, now, incident_id=incident.id)
        )

    def is_under_way(self, connection: Connection, incident: int) -> bool:
        """Whether the opening notification is queued, and has neither been sent nor failed for good."""
        open_states = jobs.c.state.in_((State.READY, State.RUNNING))
        query = select(jobs.c.id).where(jobs.c.key == f"{self.kind}:{incident}", open_states)
        return connection.execute(query).scalar() is not None

    async def close(self, context: Context, job: Job, settings: Post | None) -> Outcome:
        """Send the closing notification, where the opening one was sent."""
        if settings is None or settings.resolved is None:
            return done(f"{self.what} is no longer configured")
        values = await context.store.read(lambda connection: _facts(connection, context, job))
        reference = await context.store.read(lambda connection: self._reference(connection, job))
        if reference is None:
            return done(*self._said(context, job, "end_refused", f"{self.what} not closed: none was opened"))
        end, values = settings.resolved, {**values, "reference": reference}
        # Without it the request would go to the list of all tickets.
        if not reference and "{reference}" in end.url:
            text = f"{self.what} not closed: the answer to its opening had no {settings.reference}"
            return failed(*self._said(context, job, "end_failed", text))
        # Quoted whole, slashes too: an alert's text must not choose another path.
        url = end.url.format_map({name: quote(value, safe="") for name, value in values.items()})
        try:
            await _send(
                context, settings, _Request(end.method, url, filled(end.body, values), f"{values['key']}-resolved")
            )
        except DeliveryError as error:
            return self._trouble(context, job, settings, error)
        return done(*self._said(context, job, "end_good", f"{self.what} closed"))

    def _reference(self, connection: Connection, job: Job) -> str | None:
        query = select(threads.c.reference).where(
            threads.c.incident_id == job.incident_id, threads.c.channel == self._thread
        )
        reference: str | None = connection.execute(query).scalar()
        return reference

    def _trouble(self, context: Context, job: Job, settings: Post, error: DeliveryError) -> Outcome:
        if error.again and context.clock() - job.created_at < settings.give_up_after:
            return retry(str(error), max(error.after or timedelta(), backoff(job.attempts)), reason=error.reason)
        state, outcome = ("end_failed", "not closed") if job.kind == self.end else ("failed", "failed")
        return failed(*self._said(context, job, state, f"{self.what} {outcome}: {error}"), reason=error.reason)

    def _said(self, context: Context, job: Job, state: str, text: str) -> tuple[str, Any]:
        """The outcome's text, and the function that writes it to the timeline."""
        return text, lambda c: timeline.write(
            c, job.incident_id, context.clock(), kinds.of_action(self.kind, state), text
        )


TICKET = HttpSystem("ticket", "ticket")
STATUS_PAGE = HttpSystem("status_page", "status page entry")


def queue_ends(connection: Connection, settings: ReceiverConfig, incident: Incident, now: datetime) -> None:
    """Queue the closing notification of an incident that is over for each system that was notified of it."""
    TICKET.queue_end(connection, settings.ticket, incident, now)
    STATUS_PAGE.queue_end(connection, settings.status_page, incident, now)


def facts(incident: Incident, summary: str, external_url: str) -> dict[str, str]:
    """What a body can say of the incident; the texts are data, without control characters."""
    view = incident.view(external_url)
    texts = {
        "incident": str(incident.id),
        "service": incident.service,
        "environment": incident.environment,
        "severity": incident.severity,
        "title": incident.title,
        "summary": summary or incident.title,
        "status": incident.status,
        "url": view.url,
        "opened_at": incident.opened_at.isoformat(),
        "resolved_at": incident.resolved_at.isoformat() if incident.resolved_at else "",
        "duration": lasting(view.duration) if view.duration is not None else "",
        "key": f"deploywatch-{incident.id}-{int(incident.opened_at.timestamp())}",
    }
    return {name: clean(text)[:_TEXT_LIMIT] for name, text in texts.items()}


async def _send(context: Context, settings: Post, request: _Request) -> Any:
    """Send a request; the answer's JSON comes back, None when it is none. DeliveryError when that fails."""
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    # Sent again after a crash, the ticket must not be a second one where the system knows the header.
    headers[settings.idempotency_header] = request.key
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    limit = aiohttp.ClientTimeout(total=settings.timeout.total_seconds())
    try:
        async with context.http.request(
            request.method, request.url, json=request.body, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            content = (await responses.read_start(response, _ANSWER_LIMIT)).decode("utf-8", "replace")
            if not 200 <= response.status < 300:
                detail = errors.scrub(content, settings.secrets)
                raise errors.from_status(response.status, detail, after=errors.retry_after(response.headers))
    except TimeoutError as error:
        raise errors.timed_out(settings.timeout.total_seconds()) from error
    except (aiohttp.ClientError, OSError) as error:
        raise errors.unconnected(error, settings.secrets) from error
    return _parsed(content)


def _parsed(content: str) -> Any:
    try:
        return json_text.parse(content)
    # Some answer with text or nothing; there is then no link, and that is all.
    except ValueError:
        return None


def _found(answer: Any, path: str) -> str:
    """The answer's value at a path; empty when it has none there."""
    value = at(answer, path) if path else None
    return "" if value is None or isinstance(value, Mapping | list) else str(value)


def _facts(connection: Connection, context: Context, job: Job) -> dict[str, str]:
    alerts = alert_views.views(connection, job.incident_id)
    incident = store.get(connection, job.incident_id)
    return facts(incident, alerts[0].summary if alerts else "", context.settings.external_url)
