"""A deployment as it stands in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping

from deploywatch.receiver.story import DeploymentView

BAD = "roll_back"
"""The verdict on a version to which nothing goes back."""
REFUTED = "refuted"
"""What watching showed of a version that was no success: nothing goes back to it either."""


class Status(StrEnum):
    """How a deployment stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment; `previous_version` is what ran with success before it, `rollback_of` what it undoes.

    `artifact` is what was deployed, `committed_at` when the newest change in it was committed, where that is known.
    `fixes` is the incident that it is meant to end. `verdict` is the last one that decided, `promote`, `roll_back` or
    `accepted` by a person, and `judged_at` its time. `success` is what its watching showed: `validated`, `refuted` or
    `unproven`, None until that is known, and `success_why` says why.
    """

    id: int
    service: str
    environment: str
    version: str
    previous_version: str | None
    strategy: str
    deployer: str
    ports: tuple[int, ...]
    status: Status
    started_at: datetime
    finished_at: datetime | None
    rollback_of: int | None
    artifact: str = ""
    committed_at: datetime | None = None
    fixes: int | None = None
    verdict: str | None = None
    judged_at: datetime | None = None
    success: str | None = None
    success_at: datetime | None = None
    success_why: str | None = None

    def view(self) -> DeploymentView:
        """As templates see it."""
        return DeploymentView(
            service=self.service,
            environment=self.environment,
            version=self.version,
            previous_version=self.previous_version,
            started_at=self.started_at,
            finished_at=self.finished_at,
            status=self.status,
            deployer=self.deployer,
        )

    def to_json(self) -> dict[str, Any]:
        """As the API gives it, with the field names of source 003."""
        duration = (self.finished_at - self.started_at).total_seconds() if self.finished_at else None
        return {
            "id": self.id,
            "timestamp": self.started_at.isoformat(),
            "service": self.service,
            "version": self.version,
            "previous_version": self.previous_version,
            "environment": self.environment,
            "strategy": self.strategy,
            "ports": list(self.ports),
            "deployer": self.deployer,
            "status": self.status,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "duration_seconds": duration,
            "rollback_of": self.rollback_of,
            "artifact": self.artifact,
            "commit_time": self.committed_at.isoformat() if self.committed_at else None,
            "fixes": self.fixes,
            "verdict": self.verdict,
            "judged_at": self.judged_at.isoformat() if self.judged_at else None,
            "success": self.success,
            "success_at": self.success_at.isoformat() if self.success_at else None,
            "success_why": self.success_why,
        }


def of_row(row: RowMapping) -> Deployment:
    return Deployment(**{**row, "ports": tuple(row["ports"]), "status": Status(row["status"])})
