"""An incident as templates see it: what happened, its alerts, its rollback, its deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Event(StrEnum):
    """What happened; one template each."""

    OPENED = "opened"
    WORSENED = "worsened"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_SUCCEEDED = "rollback_succeeded"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLBACK_REFUSED = "rollback_refused"
    ROLLBACK_DRY_RUN = "rollback_dry_run"
    ROLLBACK_UNKNOWN = "rollback_unknown"
    APPROVAL_WANTED = "approval_wanted"
    APPROVAL_EXPIRED = "approval_expired"
    DEGRADATION = "degradation"
    UPDATE = "update"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert as templates see it; every text comes from the alert and is data, never template.

    `source_url` leads to the query that raised it, in Prometheus or wherever it was judged.
    """

    name: str
    firing: bool
    severity: str
    summary: str
    description: str
    value: str
    threshold: str
    runbook_url: str
    dashboard_url: str
    starts_at: datetime
    ends_at: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    source_url: str = ""


@dataclass(frozen=True, slots=True)
class IncidentView:
    """The incident as templates see it; times are UTC, `url` is empty when no external URL is configured.

    `correlation` has the values of the further labels that tell it from others of its service and environment.
    """

    id: int
    service: str
    environment: str
    severity: str
    status: str
    title: str
    type: str
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    url: str = ""
    correlation: Mapping[str, str] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        """From opening to resolution; None while it is open."""
        return self.resolved_at - self.opened_at if self.resolved_at else None


@dataclass(frozen=True, slots=True)
class RollbackView:
    """A rollback as templates see it; `reason` is a bounded word such as `cooldown`, `detail` the sentence.

    Of a rollback that begins, waits or would run, `detail` says what is done: the command.
    """

    from_version: str
    to_version: str
    reason: str = ""
    detail: str = ""
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True)
class DegradationView:
    """What became worse than it was; an empty text is taken from the worst alert, where that says it."""

    metric: str = ""
    value: str = ""
    threshold: str = ""
    duration: timedelta | None = None
    impact: str = ""
    remediation: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment as the post-mortem and change events see it; times are UTC.

    `status` is `running`, `succeeded`, `failed` or `rolled_back`.
    """

    service: str
    environment: str
    version: str
    previous_version: str | None
    started_at: datetime
    finished_at: datetime | None
    status: str
    deployer: str


@dataclass(frozen=True, slots=True)
class TimelineEntryView:
    """One line of an incident's timeline: `kind` is a bounded word, `actor` a person or `deploywatch`.

    `aside` is what a review does without: what was only sent, or came once more.
    """

    at: datetime
    kind: str
    actor: str
    text: str
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """All that a template is given: the event, why it is told (`note`), and the state it is about.

    `next_update` is when people hear again at the latest, `eta` how long a rollback is expected to take, `expires`
    until when an approval is waited for; `approve_url` and `reject_url` must lead to a page that asks, because mail
    scanners and link previews open links. `cause` and `prevention` are what a resolution knows of both. `deployment` is
    the last before the incident, where it was recent. `bridge` is where people meet about it. `rollback_said` is what
    the timeline last said of a rollback, for the incident's first message. `headline` says what happened in a few
    words, where the event alone does not.
    """

    event: Event
    at: datetime
    incident: IncidentView
    alerts: tuple[AlertView, ...]
    rollback: RollbackView | None = None
    note: str = ""
    next_update: datetime | None = None
    eta: timedelta | None = None
    expires: datetime | None = None
    approve_url: str = ""
    reject_url: str = ""
    degradation: DegradationView | None = None
    cause: str = ""
    prevention: str = ""
    deployment: DeploymentView | None = None
    bridge: str = ""
    rollback_said: str = ""
    headline: str = ""
