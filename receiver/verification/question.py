"""What the gate asks: a requirement of the plan, about one deployment, with the facts that the store knows."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection

from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import approvals, gate_records, ledger
from deploywatch.receiver.deployments.approvals import GateApproval
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.earlier import well_before, with_version
from deploywatch.receiver.deployments.gate_records import GateRecord
from deploywatch.receiver.incidents import store as incidents
from deploywatch.receiver.incidents.incident import Incident
from deploywatch.verdict.plan import Plan
from deploywatch.verdict.plan_parts import Requirement

BACKUP = "backup"
STAGING, STAGING_WITHIN = "staging", timedelta(days=7)
_OPEN_SHOWN = 20


class Standing(StrEnum):
    """How a requirement stands."""

    OPEN = "open"
    CLOSED = "closed"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """The deployment that wants to begin; `fixes` is the incident that it ends, `rollback` that it goes back."""

    service: str
    environment: str
    version: str
    artifact: str = ""
    strategy: str = ""
    deployer: str = ""
    fixes: int | None = None
    rollback: bool = False

    @property
    def options(self) -> str:
        """The deployment as options of a command, ready to paste."""
        artifact = ("--artifact", self.artifact) if self.artifact else ()
        return f"{self.target} {shlex.join(('--version', self.version, *artifact))}"

    @property
    def target(self) -> str:
        """Service and environment as options of a command."""
        return shlex.join(("--service", self.service, "--environment", self.environment))

    def values(self, previous: str) -> dict[str, str]:
        """What stands in queries for placeholders."""
        return {
            "service": self.service,
            "environment": self.environment,
            "version": self.version,
            "previous_version": previous,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """How a requirement stands, why, and what to do where it is not open."""

    standing: Standing
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows, read in one view; `previous` is the version to go back to."""

    now: datetime
    approvals: Sequence[GateApproval]
    records: Sequence[GateRecord]
    open_incidents: Sequence[Incident]
    known: bool
    previous: str | None
    verified: dict[str, Deployment | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One requirement of a plan, asked about one deployment."""

    context: Context
    plan: Plan
    asked: Asked
    facts: Facts
    wanted: Requirement


def facts(connection: Connection, asked: Asked, wanted: Sequence[Requirement], now: datetime) -> Facts:
    """Read what the requirements need to know."""
    where = (asked.service, asked.environment)
    earlier = {
        name: with_version(connection, asked.service, name, asked.version, now)
        for requirement in wanted
        if requirement.require == "staging_verified"
        for name in (requirement.of or (STAGING,))
    }
    return Facts(
        now=now,
        approvals=approvals.of_version(connection, *where, asked.version),
        records=_records(connection, where, wanted),
        open_incidents=incidents.recent(
            connection, only_open=True, limit=_OPEN_SHOWN, service=asked.service, environment=asked.environment
        ),
        known=ledger.latest(connection, *where) is not None,
        previous=well_before(connection, _about_to_begin(asked, now)),
        verified=earlier,
    )


def _records(connection: Connection, where: tuple[str, str], wanted: Sequence[Requirement]) -> list[GateRecord]:
    """The newest of each kind that is asked for; of backups always."""
    kinds = {BACKUP, *(kind for requirement in wanted if requirement.require == "record" for kind in requirement.of)}
    records = (gate_records.newest(connection, *where, kind) for kind in kinds)
    return [record for record in records if record is not None]


def _about_to_begin(asked: Asked, now: datetime) -> Deployment:
    """The deployment as if it were in the ledger, to ask what would be before it."""
    return Deployment(
        # After every real one, as whoever looks for what ran before goes by time and then by id.
        id=2**62,
        service=asked.service,
        environment=asked.environment,
        version=asked.version,
        previous_version=None,
        strategy=asked.strategy,
        deployer=asked.deployer,
        ports=(),
        status=Status.RUNNING,
        started_at=now,
        finished_at=None,
        rollback_of=None,
    )
