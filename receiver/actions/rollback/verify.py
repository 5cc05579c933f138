"""Verify a rollback: the exporter must find the service well with the right version, and the signals be good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

import aiohttp
from sqlalchemy import Connection, RowMapping, select, update

from deploywatch import json_text, responses
from deploywatch.quantity import format_duration
from deploywatch.receiver.actions.rollback import signal_check
from deploywatch.receiver.actions.rollback.signal_check import Reading, Streak
from deploywatch.receiver.actions.target_lock import give_back, holder
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger
from deploywatch.receiver.escalation import escalate
from deploywatch.receiver.events import facts
from deploywatch.receiver.events.outbox import emit
from deploywatch.receiver.incidents import kinds, store, timeline
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings.actions.rollback import Verification
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.story import Event, RollbackView

WATCH = "watch_rollback"
"""The kind of job that looks whether what was rolled back stays so."""
_ANSWER_LIMIT = 4 * 1024**2
_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Health:
    """One look at a service: healthy with the wanted version, or what is wrong with it; `running` is its version.

    `answered` says whether the exporter told anything at all.
    """

    good: bool
    detail: str
    running: str = ""
    answered: bool = True


class Proof(StrEnum):
    """The rollback's state after its verification; `unproven` where only missing metrics prevented a proof."""

    VERIFIED = "verified"
    NOT_VERIFIED = "not_verified"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the rollback is proven, and the sentence for people."""

    proof: Proof
    detail: str


_EVENTS = {
    Proof.VERIFIED: Event.ROLLBACK_SUCCEEDED,
    Proof.NOT_VERIFIED: Event.ROLLBACK_FAILED,
    Proof.UNPROVEN: Event.ROLLBACK_UNKNOWN,
}


async def handle(context: Context, job: Job) -> Outcome:
    """Look at the service until it has been well long enough, or the time is over."""
    row = await context.store.read(lambda connection: _row(connection, job))
    target = context.settings.rollback.target(row["service"], row["environment"])
    if target is None:
        detail = "no rollback target is configured any more, so nothing says how to verify"
        verdict = Verdict(Proof.NOT_VERIFIED, detail)
    else:
        verdict = await _prove(context, target.verify, row)
    return done(verdict.detail, lambda connection: _record(connection, context, row, verdict))


async def _prove(context: Context, settings: Verification, row: RowMapping) -> Verdict:
    service, environment = row["service"], row["environment"]
    deadline = context.clock() + settings.within
    well_since: datetime | None = None
    streak = Streak()
    while True:
        health = await look(context.http, settings.url, service, environment, row["to_version"])
        signals = await signal_check.look(context, context.settings.prometheus, settings.signals, service, environment)
        now = context.clock()
        # One bad look begins the time anew: a service that crashes each minute is never well "for 3 minutes".
        well_since = (well_since or now) if health.good else None
        streak = streak.after(signals, now)
        well = well_since is not None and now - well_since >= settings.healthy_for
        if well and (not settings.signals or streak.lasted >= settings.signals_for):
            return Verdict(Proof.VERIFIED, _proven(settings, health, signals))
        # After the proof, so that a time that is just enough still proves it.
        if now >= deadline:
            return _missed(settings, health, signals, well=well, gaps=streak.gaps)
        await context.sleep(settings.interval / timedelta(seconds=1))


def _proven(settings: Verification, health: Health, signals: Reading) -> str:
    detail = f"{health.detail}, for {format_duration(settings.healthy_for)}"
    if not settings.signals:
        return detail
    return f"{detail}; {signals.detail}, for {format_duration(settings.signals_for)}"


def _missed(settings: Verification, health: Health, signals: Reading, *, well: bool, gaps: bool) -> Verdict:
    """The time is over: what is bad says so; what only had no metrics is neither good nor bad."""
    within = format_duration(settings.within)
    if not well:
        return Verdict(Proof.NOT_VERIFIED, f"not healthy within {within}: {health.detail}")
    # Health is well, and only Prometheus lacked values: no proof, and no accusation either.
    if gaps:
        detail = f"{health.detail}, but the metrics neither prove nor disprove it within {within}: {signals.detail}"
        return Verdict(Proof.UNPROVEN, detail)
    lasting = format_duration(settings.signals_for)
    return Verdict(Proof.NOT_VERIFIED, f"signals not good for {lasting} within {within}: {signals.detail}")


def queue_watch(connection: Connection, row: RowMapping, now: datetime) -> None:
    """Have it looked at whether something puts the bad version back."""
    key = f"{WATCH}:{row['id']}"
    payload = {"rollback": row["id"], "verified_at": now.isoformat()}
    job = NewJob(kind=WATCH, key=key, serial_key=key, run_at=now, incident_id=row["incident_id"], payload=payload)
    enqueue(connection, now, job)


async def look(http: aiohttp.ClientSession, url: str, service: str, environment: str, version: str | None) -> Health:
    """Ask the exporter once; with `version`, a service that reports another one is not good."""
    address = url.replace("{service}", quote(service, safe="")).replace("{environment}", quote(environment, safe=""))
    try:
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with http.get(address, timeout=limit, allow_redirects=False) as response:
            answer = json_text.parse(await responses.read_direct(response, _ANSWER_LIMIT))
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        return Health(
            good=False, detail=f"the exporter gave no answer: {error or type(error).__name__}", answered=False
        )
    # Something else answers at that address, such as a proxy's page; that says nothing about the service.
    if not isinstance(answer, dict) or "status" not in answer:
        detail = f"the exporter's answer says no status (HTTP {response.status})"
        return Health(good=False, detail=detail, answered=False)
    return _judged(service, version, str(answer["status"]), str(answer.get("version") or ""))


def _judged(service: str, version: str | None, status: str, running: str) -> Health:
    if status != "healthy":
        return Health(good=False, detail=f"{service} is {status}", running=running)
    # Healthy, but the old pods still answer: that is not the rollback's success.
    if version and running and running != version:
        return Health(good=False, detail=f"{service} runs {running}, not {version}", running=running)
    return Health(good=True, detail=f"{service} is healthy with {running or 'an unknown version'}", running=running)


def _row(connection: Connection, job: Job) -> RowMapping:
    return connection.execute(select(rollbacks).where(rollbacks.c.id == job.payload["rollback"])).mappings().one()


def _record(connection: Connection, context: Context, row: RowMapping, verdict: Verdict) -> None:
    now, incident, proof = context.clock(), store.get(connection, row["incident_id"]), verdict.proof
    closed = {"state": proof, "detail": verdict.detail[:2000], "finished_at": now}
    connection.execute(update(rollbacks).where(rollbacks.c.id == row["id"]).values(**closed))
    # The lock goes whatever was proven: a person must be able to act now.
    give_back(connection, row["service"], row["environment"], holder(row["deployment_id"]))
    if proof is Proof.VERIFIED:
        # Only now: the ledger says what was proven, not what a command said.
        ledger.undone(connection, row["deployment_id"], row["to_version"], row["started_at"], now)
        bad = ledger.get(connection, row["deployment_id"])
        emit(connection, context.settings, facts.rolled_back(bad, row["to_version"], now), now)
        queue_watch(connection, row, now)
    view = RollbackView(row["from_version"], row["to_version"], proof, verdict.detail, now - row["started_at"])
    text = f"rollback {proof.replace('_', ' ')}: {verdict.detail}"
    timeline.write(connection, incident.id, now, kinds.of_action("rollback", proof), text)
    tell(connection, context.settings, incident, _EVENTS[proof], now, once=f"verify:{row['id']}", rollback=view)
    if proof is not Proof.VERIFIED:
        why = f"the rollback to {row['to_version']} could not be verified"
        escalate.at_once(connection, context.settings, incident, now, why=why, once=f"verify:{row['id']}")
