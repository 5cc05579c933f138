"""An incident as it stands in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from deploywatch.receiver.settings.strategy import Severity
from deploywatch.receiver.story import IncidentView

PAGE = "/incidents/{id}"
"""Where a person sees an incident in a browser."""


class Status(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATING = "mitigating"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """One row of the incidents; `quiet_since` is when its last alert resolved.

    `correlation` has the values of the further labels that tell it from others of its service and environment.
    `mitigating_since` is a person's word that something is being done, `mitigation` says that a rollback or another
    action is under way; it is read from theirs and not stored.
    """

    id: int
    service: str
    environment: str
    severity: Severity
    type: str
    title: str
    channels: tuple[str, ...]
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    quiet_since: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    commander: str | None = None
    mitigating_since: datetime | None = None
    cause: str | None = None
    cause_why: str | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    correlation: Mapping[str, str] = field(default_factory=dict)
    mitigation: bool = False

    @property
    def status(self) -> Status:
        """Resolved; monitoring while all its alerts are quiet; mitigating; else acknowledged or open."""
        # The order is that of how far it is: what is quiet is not called mitigating, although a rollback may still be
        # verified.
        if self.resolved_at:
            return Status.RESOLVED
        if self.quiet_since:
            return Status.MONITORING
        if self.mitigating_since or self.mitigation:
            return Status.MITIGATING
        return Status.ACKNOWLEDGED if self.acknowledged_at else Status.OPEN

    @property
    def waits_for_somebody(self) -> bool:
        """Whether its alerts fire and nobody has acknowledged it, whatever is tried automatically meanwhile."""
        return not (self.resolved_at or self.quiet_since or self.acknowledged_at)

    def view(self, external_url: str = "") -> IncidentView:
        """As templates see it."""
        return IncidentView(
            id=self.id,
            service=self.service,
            environment=self.environment,
            severity=self.severity,
            status=self.status,
            title=self.title,
            type=self.type,
            correlation=self.correlation,
            opened_at=self.opened_at,
            acknowledged_at=self.acknowledged_at,
            acknowledged_by=self.acknowledged_by or "",
            resolved_at=self.resolved_at,
            url=external_url.rstrip("/") + PAGE.format(id=self.id) if external_url else "",
        )
