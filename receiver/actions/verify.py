"""Verify a rollback: the exporter must say that the service is healthy, with the right version, for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

import aiohttp
from sqlalchemy import Connection, RowMapping, select, update

from deploywatch.quantity import format_duration
from receiver.actions import escalate
from receiver.actions.notify import tell
from receiver.config import Verification
from receiver.deployments import ledger
from receiver.desk import Desk
from receiver.incidents import book
from receiver.jobs import Job, Outcome, done
from receiver.messages import Event, RollbackView
from receiver.store.schema import rollbacks

_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """One look at a service: healthy with the wanted version, or what is wrong with it."""

    good: bool
    detail: str


async def handle(desk: Desk, job: Job) -> Outcome:
    """Look at the service until it has been healthy long enough, or the time is over."""
    row = await desk.store.read(lambda connection: _row(connection, job))
    target = desk.settings.rollback.target(row["service"], row["environment"])
    if target is None:
        verdict = Health(good=False, detail="no rollback target is configured any more, so nothing says how to verify")
    else:
        verdict = await _prove(desk, target.verify, row)
    return done(verdict.detail, lambda connection: _record(connection, desk, row, verdict))


async def _prove(desk: Desk, settings: Verification, row: RowMapping) -> Health:
    deadline = desk.clock() + settings.within
    good_since: datetime | None = None
    while True:
        health = await look(desk.http, settings.url, row["service"], row["environment"], row["to_version"])
        now = desk.clock()
        good_since = (good_since or now) if health.good else None
        if good_since is not None and now - good_since >= settings.healthy_for:
            return Health(good=True, detail=f"{health.detail}, for {format_duration(settings.healthy_for)}")
        if now >= deadline:
            return Health(good=False, detail=f"not healthy within {format_duration(settings.within)}: {health.detail}")
        await desk.sleep(settings.interval / timedelta(seconds=1))


async def look(http: aiohttp.ClientSession, url: str, service: str, environment: str, version: str | None) -> Health:
    """Ask the exporter once; with `version`, a service that reports another one is not good."""
    address = url.replace("{service}", quote(service, safe="")).replace("{environment}", quote(environment, safe=""))
    try:
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with http.get(address, timeout=limit) as response:
            answer = await response.json(content_type=None)
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        return Health(good=False, detail=f"the exporter gave no answer: {error or type(error).__name__}")
    if not isinstance(answer, dict) or "status" not in answer:
        return Health(good=False, detail=f"the exporter's answer says no status (HTTP {response.status})")
    if answer["status"] != "healthy":
        return Health(good=False, detail=f"{service} is {answer['status']}")
    running = answer.get("version")
    if version and running and running != version:
        return Health(good=False, detail=f"{service} runs {running}, not {version}")
    return Health(good=True, detail=f"{service} is healthy with {running or 'an unknown version'}")


def _row(connection: Connection, job: Job) -> RowMapping:
    return connection.execute(select(rollbacks).where(rollbacks.c.id == job.payload["rollback"])).mappings().one()


def _record(connection: Connection, desk: Desk, row: RowMapping, verdict: Health) -> None:
    now, incident = desk.clock(), book.get(connection, row["incident_id"])
    state = "verified" if verdict.good else "not_verified"
    connection.execute(
        update(rollbacks)
        .where(rollbacks.c.id == row["id"])
        .values(state=state, detail=verdict.detail[:2000], finished_at=now)
    )
    if verdict.good and row["state"] == "unknown":
        ledger.undone(connection, row["deployment_id"], row["to_version"], row["started_at"], now)
    view = RollbackView(row["from_version"], row["to_version"], state, verdict.detail, now - row["started_at"])
    event = Event.ROLLBACK_SUCCEEDED if verdict.good else Event.ROLLBACK_FAILED
    text = f"rollback verified: {verdict.detail}" if verdict.good else f"rollback not verified: {verdict.detail}"
    book.write_line(connection, incident.id, now, f"rollback_{state}", text)
    tell(connection, desk.settings, incident, event, now, once=f"verify:{row['id']}", rollback=view)
    if not verdict.good:
        why = f"the rollback to {row['to_version']} could not be verified"
        escalate.at_once(connection, desk.settings, incident, now, why=why, once=f"verify:{row['id']}")
