"""Incidents, as the API answers them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time
from deploywatch.receiver.settings.strategy import Severity

Status = Literal["open", "acknowledged", "mitigating", "monitoring", "resolved"]
CauseWord = Literal["resource", "deployment", "dependency", "unknown"]


class CauseAnswer(TypedDict):
    """Where an incident probably comes from, why, and what source 003 (P5) answers to it."""

    cause: CauseWord
    why: str
    suggests: list[str]


class IncidentAnswer(TypedDict):
    """An incident; `bridge` is where people meet about it, empty when none is configured.

    `correlation` has the values of further labels that tell it from others of its service and environment.
    """

    id: int
    service: str
    environment: str
    correlation: dict[str, str]
    severity: Severity
    status: Status
    type: str
    title: str
    channels: list[str]
    opened_at: Time
    acknowledged_at: Time | None
    acknowledged_by: str | None
    commander: str | None
    bridge: str
    mitigating_since: Time | None
    cause: CauseAnswer | None
    resolved_at: Time | None
    resolved_by: str | None
    duration_seconds: float | None
    review_required: bool
    reviewed_at: Time | None
    reviewed_by: str | None


class AlertAnswer(TypedDict):
    """One alert of an incident; `generator_url` leads to the query that raised it."""

    name: str
    firing: bool
    severity: str
    starts_at: Time
    ends_at: Time | None
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str


class CheckAnswer(TypedDict):
    """One item of a checklist; `done_at` is there once somebody has ticked it."""

    item: int
    text: str
    done_at: Time | None
    done_by: str | None


class ChecklistAnswer(TypedDict):
    """What people tick: while they watch, and to resolve."""

    monitoring: list[CheckAnswer]
    resolution: list[CheckAnswer]


class LineAnswer(TypedDict):
    """One line of the timeline."""

    at: Time
    kind: str
    actor: str
    text: str


class HoldAnswer(TypedDict):
    """Maintenance that holds actions back just now; people are told all the same with `tell`."""

    until: Time
    tell: bool
    reason: str


class WholeIncidentAnswer(IncidentAnswer):
    """An incident with everything that is known about it."""

    alerts: list[AlertAnswer]
    rollbacks: list[dict[str, Any]]
    checklist: ChecklistAnswer
    maintenance: HoldAnswer | None
    timeline: list[LineAnswer]


class EditionAnswer(TypedDict):
    """An edition of a post-mortem, as it was saved."""

    version: int
    at: Time
    by: str
