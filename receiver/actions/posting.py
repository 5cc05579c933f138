"""Posts an incident as JSON to another system, with a key that is the same at each try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import aiohttp
from sqlalchemy import Connection

from receiver.actions.executors.http import at, filled
from receiver.actions.settings.post import Post
from receiver.channels import answers
from receiver.desk import Desk
from receiver.incidents import book
from receiver.incidents.book import Incident
from receiver.jobs import Job, Outcome, again, backoff, done, failed
from receiver.messages import DeliveryError
from receiver.templates.filters import clean, line, web_link

_ANSWER_LIMIT = 1024**2
_TEXT_LIMIT = 2000


async def post(desk: Desk, job: Job, settings: Post | None, *, what: str) -> Outcome:
    """Post it; trouble that may pass is tried again, and in the end the timeline says how it went."""
    if settings is None:
        text = f"{what} refused (no_target): none is configured"
        return done(text, lambda c: book.write_line(c, job.incident_id, desk.clock(), f"{job.kind}_refused", text))
    incident, summary = await desk.store.read(lambda connection: _facts(connection, job))
    values = facts(incident, summary, desk.settings.external_url)
    try:
        link = await _send(desk, settings, values)
    except DeliveryError as error:
        if error.again and desk.clock() - job.created_at < settings.give_up_after:
            return again(str(error), max(error.after or timedelta(), backoff(job.attempts)))
        text = f"{what} failed: {error}"
        return failed(text, lambda c: book.write_line(c, job.incident_id, desk.clock(), f"{job.kind}_failed", text))
    text = f"{what} opened{f': {link}' if link else ''}"
    return done(text, lambda c: book.write_line(c, job.incident_id, desk.clock(), f"{job.kind}_good", text))


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
        "key": f"deploywatch-{incident.id}-{int(incident.opened_at.timestamp())}",
    }
    return {name: clean(text)[:_TEXT_LIMIT] for name, text in texts.items()}


async def _send(desk: Desk, settings: Post, values: Mapping[str, str]) -> str:
    """The address of what was made, if the answer says one; DeliveryError when that fails."""
    headers = {**settings.headers, settings.idempotency_header: values["key"]}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    limit = aiohttp.ClientTimeout(total=settings.timeout.total_seconds())
    body = filled(settings.body, values)
    try:
        async with desk.http.post(
            settings.url, json=body, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            content = (await response.content.read(_ANSWER_LIMIT)).decode("utf-8", "replace")
            if not 200 <= response.status < 300:
                detail = answers.scrub(content, (settings.token,))
                raise answers.from_status(response.status, detail, after=answers.retry_after(response.headers))
    except TimeoutError as error:
        raise answers.timed_out(settings.timeout.total_seconds()) from error
    except (aiohttp.ClientError, OSError) as error:
        raise answers.unconnected(error, (settings.token,)) from error
    return _link(settings, content)


def _link(settings: Post, content: str) -> str:
    if not settings.link:
        return ""
    try:
        found: Any = at(json.loads(content), settings.link)
    except ValueError:
        return ""
    return web_link(line(str(found), _TEXT_LIMIT)) if found else ""


def _facts(connection: Connection, job: Job) -> tuple[Incident, str]:
    alerts = book.alerts_of(connection, job.incident_id)
    return book.get(connection, job.incident_id), alerts[0].summary if alerts else ""
