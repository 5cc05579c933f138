"""A person's word on a rollback: asked for, waited for within a time, given by API, command or signed link."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import Connection, RowMapping, select, update

from deploywatch.receiver.actions.rollback.history import ROLLBACK, usual_duration
from deploywatch.receiver.actions.rollback.situation import ApprovalState, Go
from deploywatch.receiver.actions.target_lock import serial_key
from deploywatch.receiver.context import Context
from deploywatch.receiver.incidents import store, timeline
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.receiver.incidents.kinds import Kind
from deploywatch.receiver.jobs.job import Job, NewJob, Urgency
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done
from deploywatch.receiver.notify.queueing import tell
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.store import insert_id
from deploywatch.receiver.store.action_schema import approvals
from deploywatch.receiver.story import Event, RollbackView
from deploywatch.secrets import Masked

KIND = "approval"
PAGE: Final = "/api/v1/approval"
"""Where signed links lead; the page asks, because mail scanners open links."""
YES, NO = "approve", "reject"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for a person's approval to roll one deployment back."""

    id: int
    incident_id: int
    deployment_id: int
    to_version: str
    state: ApprovalState
    nonce: str | None
    asked_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    note: str


def ask(
    connection: Connection, settings: ReceiverConfig, incident: Incident, go: Go, now: datetime, *, would: str
) -> None:
    """Ask about this deployment in this incident, and look again when the time is over.

    Asked again, because the incident became worse, the question is a new one; the timeline has the answer to the first.
    """
    # Random and stored: a link is good once, for this question alone, and not after an answer.
    within, nonce = settings.rollback.approval.within, secrets.token_hex(16)
    row = {
        "incident_id": incident.id,
        "deployment_id": go.deployment.id,
        "to_version": go.to_version,
        "state": ApprovalState.WAITING,
        "nonce": nonce,
        "asked_at": now,
        "expires_at": now + within,
        "note": "",
    }
    number, bad = _store(connection, row), go.deployment
    step = f"{bad.service} in {bad.environment} from {bad.version} to {go.to_version}"
    text = f"a person is asked, until {now + within:%H:%M:%S} UTC, to approve the rollback of {step}: {would}"
    timeline.write(connection, incident.id, now, Kind.APPROVAL_WANTED, f"{text}{f'; {go.why}' if go.why else ''}")
    asked = get(connection, number)
    view = RollbackView(bad.version, go.to_version, detail=would)
    more = {
        "expires": asked.expires_at,
        "eta": usual_duration(connection, bad.service, bad.environment),
        "approve_url": link(settings, asked, YES),
        "reject_url": link(settings, asked, NO),
    }
    once = f"{number}@{asked.expires_at.isoformat()}"
    tell(connection, settings, incident, Event.APPROVAL_WANTED, now, once=once, note=go.why, rollback=view, more=more)
    expiry = NewJob(
        kind=KIND,
        key=f"approval:{once}",
        serial_key=f"approval:{number}",
        run_at=asked.expires_at,
        incident_id=incident.id,
        payload={"approval": number},
    )
    enqueue(connection, now, expiry)


def _store(connection: Connection, row: Mapping[str, Any]) -> int:
    """Write the question in the place of an earlier one about the same deployment; its number."""
    same = (approvals.c.incident_id == row["incident_id"], approvals.c.deployment_id == row["deployment_id"])
    # One row for each deployment in an incident: whoever looks for the word finds one answer, not several.
    number: int | None = connection.execute(select(approvals.c.id).where(*same)).scalar()
    if number is None:
        return insert_id(connection, approvals, row)
    connection.execute(update(approvals).where(*same).values(**row, decided_at=None, decided_by=None))
    return number


async def handle(context: Context, job: Job) -> Outcome:
    """Expire an approval request that nobody has answered in time, and say that nothing is rolled back."""

    def record(connection: Connection) -> None:
        asked, now = get(connection, job.payload["approval"]), context.clock()
        # Asked anew with a later end, after it became worse: this job is the first question's.
        if asked.state is not ApprovalState.WAITING or now < asked.expires_at:
            return
        _close(connection, asked, ApprovalState.EXPIRED, now, by=None, note="")
        incident = store.get(connection, asked.incident_id)
        text = f"nobody approved the rollback to {asked.to_version} by {asked.expires_at:%H:%M:%S} UTC"
        timeline.write(connection, incident.id, now, Kind.APPROVAL_EXPIRED, f"{text}; nothing was rolled back")
        view = RollbackView("", asked.to_version, ApprovalState.EXPIRED, text)
        more, once = {"expires": asked.expires_at}, f"{asked.id}@{asked.expires_at.isoformat()}"
        tell(connection, context.settings, incident, Event.APPROVAL_EXPIRED, now, once=once, rollback=view, more=more)

    return done(record=record)


def answer(connection: Connection, asked: Approval, *, yes: bool, by: str, note: str, now: datetime) -> str:
    """Take a person's word; the sentence why it does not count, or empty. After a yes every brake is asked again."""
    # In one transaction with the answer: of two people who tap at once, the first counts.
    if asked.state is not ApprovalState.WAITING:
        who = f" by {asked.decided_by}" if asked.decided_by else ""
        return f"the question about the rollback to {asked.to_version} is {asked.state}{who} already"
    if now >= asked.expires_at:
        return f"the time to answer was over at {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC"
    _close(connection, asked, ApprovalState.APPROVED if yes else ApprovalState.REJECTED, now, by=by, note=note)
    what = f"the rollback to {asked.to_version}{f': {note}' if note else ''}"
    incident = store.get(connection, asked.incident_id)
    kind = Kind.ROLLBACK_APPROVED if yes else Kind.ROLLBACK_REJECTED
    timeline.write(connection, incident.id, now, kind, f"{'approved' if yes else 'rejected'} {what}", actor=by)
    # A job and no call: since the question was asked a deployment may have begun, or another rollback.
    if yes:
        enqueue(connection, now, _decision(asked, incident, by, now))
    return ""


def _decision(asked: Approval, incident: Incident, by: str, now: datetime) -> NewJob:
    """The job that asks every brake again and rolls back."""
    return NewJob(
        kind=ROLLBACK,
        key=f"rollback:{incident.id}:approval:{asked.id}",
        serial_key=serial_key(incident.service, incident.environment),
        run_at=now,
        urgency=Urgency.CRITICAL,
        incident_id=incident.id,
        payload={"alert": f"{by}'s approval"},
    )


def withdraw(connection: Connection, incident_id: int, now: datetime) -> None:
    """The incident is over: what was asked about it needs no answer any more, and nobody is told that none came."""
    for asked in of_incident(connection, incident_id):
        if asked.state is ApprovalState.WAITING:
            _close(connection, asked, ApprovalState.WITHDRAWN, now, by=None, note="the incident is over")


def latest(connection: Connection, incident_id: int) -> Approval | None:
    """The newest approval request of an incident, whether or not it was answered."""
    asked = of_incident(connection, incident_id)
    return asked[-1] if asked else None


def waiting(connection: Connection, now: datetime) -> list[Approval]:
    """Every question that waits for an answer, the one whose time is over first at the front."""
    query = select(approvals).where(approvals.c.state == ApprovalState.WAITING, approvals.c.expires_at > now)
    return [_approval(row) for row in connection.execute(query.order_by(approvals.c.expires_at)).mappings()]


def of_incident(connection: Connection, incident_id: int) -> list[Approval]:
    """Every approval request of an incident, the oldest first."""
    query = select(approvals).where(approvals.c.incident_id == incident_id).order_by(approvals.c.id)
    return [_approval(row) for row in connection.execute(query).mappings()]


def find(connection: Connection, number: int) -> Approval | None:
    """The approval request of a number, or None."""
    row = connection.execute(select(approvals).where(approvals.c.id == number)).mappings().first()
    return _approval(row) if row else None


def get(connection: Connection, number: int) -> Approval:
    """The approval request of a number, which must exist."""
    return _approval(connection.execute(select(approvals).where(approvals.c.id == number)).mappings().one())


def link(settings: ReceiverConfig, asked: Approval, saying: str) -> str:
    """The link by which a person says yes or no; empty without a secret or an external URL."""
    secret = settings.rollback.approval.secret
    if secret is None or not settings.external_url or asked.nonce is None:
        return ""
    query = {"id": str(asked.id), "answer": saying, "expires": str(int(asked.expires_at.timestamp()))}
    query["signature"] = _signature(secret, asked, query)
    return f"{settings.external_url.rstrip('/')}{PAGE}?{urlencode(query)}"


def refused_link(settings: ReceiverConfig, asked: Approval | None, query: Mapping[str, str], now: datetime) -> str:
    """Why a link does not count, or empty: forged, used, or too old."""
    secret = settings.rollback.approval.secret
    if secret is None or asked is None or asked.nonce is None:
        used = asked is not None and asked.state is not ApprovalState.WAITING
        return f"this was answered already: {asked.state}" if used and asked else "this link is not valid"
    expected = _signature(secret, asked, query)
    # In constant time, so that nobody can guess a signature letter by letter.
    if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
        return "this link is not valid"
    if now >= asked.expires_at:
        return f"the time to answer was over at {asked.expires_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return ""


def _signature(secret: Masked, asked: Approval, query: Mapping[str, str]) -> str:
    # The nonce is signed and not in the link: it cannot be read from a mail.
    signed = "\n".join((str(asked.id), query.get("answer", ""), query.get("expires", ""), asked.nonce or ""))
    return hmac.new(secret.get_secret_value().encode(), signed.encode(), hashlib.sha256).hexdigest()


def _close(
    connection: Connection, asked: Approval, state: ApprovalState, now: datetime, *, by: str | None, note: str
) -> None:
    """Write the answer; the links lose what made them valid."""
    values = {"state": state, "nonce": None, "decided_at": now, "decided_by": by, "note": note}
    connection.execute(update(approvals).where(approvals.c.id == asked.id).values(**values))


def _approval(row: RowMapping) -> Approval:
    return Approval(**{**row, "state": ApprovalState(row["state"])})
