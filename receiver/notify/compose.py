"""Composes a message once for all the channels that ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select

from deploywatch.receiver.alert import Alert
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.jobs.job import Job
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.templates import CHANGES_STATE
from deploywatch.receiver.store.schema import threads
from deploywatch.receiver.story import DeploymentView, Event, RollbackView, Story

# An older deployment is not named in messages: it is hardly at fault.
_RECENT = timedelta(hours=24)
_TIMES, _SPANS = frozenset({"expires", "next_update"}), frozenset({"eta"})
_ONE_CHANNELS = frozenset({"channel", "instead_of", "late", "of"})
# Built once, because every message needs it.
_REFERENCES = select(threads.c.channel, threads.c.reference).where(threads.c.incident_id == bindparam("incident"))


@dataclass(frozen=True, slots=True)
class Told:
    """The message, and by channel what the incident's first message there returned."""

    message: Message
    references: Mapping[str, str]


async def of(context: Context, job: Job) -> Told:
    """The message of a job, rendered from what the store knows when it is asked for."""
    event = msgspec.json.encode({name: value for name, value in job.payload.items() if name not in _ONE_CHANNELS})
    asked = (job.incident_id, event)
    # An opening goes to several channels at the same moment: it is read and rendered once, and all of them await it.
    if asked not in context.composing:
        context.composing[asked] = asyncio.create_task(_read(context, job, asked), name="compose")
    # One channel that is cancelled must not take the message from the others.
    composed: Told = await asyncio.shield(context.composing[asked])
    return composed


async def _read(context: Context, job: Job, asked: tuple[int, bytes]) -> Told:
    """Read the incident, after all that begin with the job have asked; who asks later may have to know more."""
    # Before reading: who asks from now on may know of a change that this reading does not see.
    del context.composing[asked]
    return await context.store.read_together(lambda connection: _compose(connection, context, job))


def _compose(connection: Connection, context: Context, job: Job) -> Told:
    as_of, incident = context.clock(), store.get(connection, job.incident_id)
    alerts, leading = alert_views.views_and_leading(connection, incident.id)
    event = Event(job.payload["event"])
    story = Story(
        event=event,
        at=datetime.fromisoformat(job.payload["at"]),
        incident=incident.view(context.settings.external_url),
        alerts=alerts,
        deployment=_deployed(connection, incident, leading),
        rollback=_unpack(job.payload["rollback"]),
        note=job.payload["note"],
        bridge=context.settings.response.bridge_of(incident.id),
        rollback_said=timeline.rollback_said(connection, incident.id) if event in CHANGES_STATE else "",
        **{name: _field(name, value) for name, value in job.payload.get("more", {}).items()},
    )
    references = {row.channel: row.reference for row in connection.execute(_REFERENCES, {"incident": incident.id})}
    return Told(replace(context.templates.render(story), as_of=as_of), references)


def _deployed(connection: Connection, incident: Incident, worst: Alert | None) -> DeploymentView | None:
    """The last deployment before the worst alert that fires, where it was recent enough to be at fault."""
    began = worst.since if worst else incident.opened_at
    deployment = ledger.before(connection, incident.service, incident.environment, began)
    return deployment.view() if deployment and began - deployment.started_at < _RECENT else None


def _field(name: str, value: Any) -> Any:
    """A further field of the Story, as it was before it was packed."""
    if name in _TIMES and value is not None:
        return datetime.fromisoformat(value)
    return timedelta(seconds=value) if name in _SPANS and value is not None else value


def _unpack(packed: dict[str, Any] | None) -> RollbackView | None:
    if packed is None:
        return None
    seconds = packed["duration"]
    return RollbackView(**{**packed, "duration": timedelta(seconds=seconds) if seconds is not None else None})
