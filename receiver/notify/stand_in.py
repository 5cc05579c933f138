"""Chooses the channel that stands in for a failed one, where none is configured and nobody would be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, or_, select

from deploywatch.receiver.incidents import store
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.messages import Channel
from deploywatch.receiver.notify.unsent import told
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store.schema import jobs
from deploywatch.receiver.story import Event

_KEPT_JOBS = 200
"""Deliveries of late that say which channels work."""


def choose(connection: Connection, settings: ReceiverConfig, channels: Mapping[str, Channel], job: Job) -> str | None:
    """A channel that has not had this message and, as far as is known, works; None where somebody has it, or may yet.

    Channels of outside contacts are not asked: what they are told is for them alone.
    """
    tell = {name for name, channel in channels.items() if channel.wants(Event(job.payload["event"]))}
    tried, reached = _siblings(connection, job, tell)
    # Somebody has it, or may yet get it: a further channel would only be noise.
    if reached:
        return None
    outside = settings.outside_channels
    free = [name for name in channels if name in tell and name not in tried and name not in outside]
    states = _states(connection)
    # What delivered last works; of what was never used nothing is known; what failed last comes last.
    return min(free, key=lambda name: {True: 0, None: 1, False: 2}[states.get(name)], default=None)


def widen(connection: Connection, incident_id: int, channel: str) -> None:
    """Count the channel among the incident's from now on: who heard how it began hears how it goes on."""
    incident = store.get(connection, incident_id)
    if channel not in incident.channels:
        store.save(connection, replace(incident, channels=(*incident.channels, channel)))


def _siblings(connection: Connection, job: Job, tell: set[str]) -> tuple[set[str], bool]:
    """The channels that this very message was given to, and whether it has reached somebody or is still to be tried.

    Only channels that `tell` of such an event reach anybody.
    """
    query = select(jobs.c.id, jobs.c.payload, jobs.c.state, jobs.c.attempts).where(
        jobs.c.incident_id == job.incident_id, jobs.c.kind == job.kind
    )
    tried, reached = {job.payload["channel"]}, False
    for number, payload, state, attempts in connection.execute(query):
        if number == job.id or not _same(payload, job.payload):
            continue
        tried.add(payload["channel"])
        # What was refused before waits for a person; what is tried just now will say for itself how it went.
        first = attempts == 0 and "again_of" not in payload
        waits = state == State.RUNNING or (state == State.READY and first)
        other = payload["channel"] in tell and payload["channel"] != job.payload["channel"]
        reached = reached or (other and (state == State.DONE or waits))
    return tried, reached


def _same(payload: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(payload.get(name) == other.get(name) for name in ("event", "at", "note"))


def _states(connection: Connection) -> dict[str, bool]:
    """Whether each channel's last delivery that is over and was sent went well."""
    query = select(jobs.c.payload, jobs.c.state).where(
        jobs.c.kind == "deliver", or_(jobs.c.state == State.FAILED, told())
    )
    states: dict[str, bool] = {}
    for payload, state in connection.execute(query.order_by(jobs.c.finished_at.desc()).limit(_KEPT_JOBS)):
        states.setdefault(payload["channel"], state == State.DONE)
    return states
