"""What the API answers, as typed dictionaries: mypy holds handlers to them, the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from deploywatch.receiver.settings.strategy import Severity

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC."""

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


class DeploymentAnswer(TypedDict):
    """One deployment, with the field names of source 003."""

    id: int
    timestamp: Time
    service: str
    version: str
    previous_version: str | None
    environment: str
    strategy: str
    ports: list[int]
    deployer: str
    status: Literal["running", "succeeded", "failed", "rolled_back"]
    finished_at: Time | None
    duration_seconds: float | None
    rollback_of: int | None
    artifact: str
    commit_time: Time | None
    fixes: int | None
    verdict: Literal["promote", "roll_back", "accepted"] | None
    judged_at: Time | None
    success: Literal["validated", "refuted", "unproven"] | None
    success_at: Time | None
    success_why: str | None


TeamRole = Literal["primary", "secondary", "team_lead"]


class StageAnswer(TypedDict):
    """A stage of a deployment; `answer` and `reason` are those of its newest look."""

    id: int
    deployment: int
    stage: str
    position: int
    stages: int
    share: float
    lasts_seconds: float
    policy: str
    state: Literal["running", "promoted", "rolled_back", "accepted", "superseded", "ended"]
    started_at: Time
    ended_at: Time | None
    answer: Literal["error", "roll_back", "promote", "hold"] | None
    reason: str | None
    accepted_at: Time | None
    accepted_by: str | None
    accepted_why: str | None


class JudgedLook(TypedDict):
    """The verdict at one look: the most serious reason, further ones, a sentence for each, and the numbers."""

    id: int
    stage: int
    deployment: int
    look: int
    at: Time
    answer: Literal["error", "roll_back", "promote", "hold"]
    reason: str
    also: list[str]
    sentences: list[str]
    findings: list[dict[str, Any]]
    confidence: dict[str, Any]


class EvidenceAnswer(TypedDict):
    """How far the evidence about a limit has come, that it is broken (`bad`) and kept (`good`): 1 is proven."""

    name: str
    bad: float
    good: float
    relative: bool


class VerdictAnswer(TypedDict):
    """How it stands with a stage; `verdict` is null before its first look, `over` says that it is watched no more."""

    deployment: DeploymentAnswer
    stage: StageAnswer
    verdict: JudgedLook | None
    evidence: list[EvidenceAnswer]
    elapsed_seconds: float
    at_most_seconds: float
    over: bool


class MeasureAnswer(TypedDict):
    """One measure; `value` is null where there are fewer than `enough`, `of` says what the `n` are."""

    value: float | None
    n: int
    of: str


class FailedAnswer(TypedDict):
    """A deployment that failed, why and since when; `recovered` is null while it is not over."""

    deployment: int
    version: str
    why: str
    since: Time
    recovered: Time | None


class TargetDelivery(TypedDict):
    """How one service was delivered to one environment; times in seconds, rates from 0 to 1."""

    service: str
    environment: str
    days: float
    deployments: int
    running: int
    change_lead_time_seconds: MeasureAnswer
    deployment_frequency_per_day: MeasureAnswer
    failed_deployment_recovery_time_seconds: MeasureAnswer
    change_fail_rate: MeasureAnswer
    deployment_rework_rate: MeasureAnswer
    mean_time_to_recovery_seconds: MeasureAnswer
    success_rate: MeasureAnswer
    rollbacks: int
    failed: list[FailedAnswer]
    notes: list[str]


class DeliveryAnswer(TypedDict):
    """Delivery over a time, by service and environment; `notes` say what could not be counted."""

    since: Time
    until: Time
    enough: int
    targets: list[TargetDelivery]
    notes: list[str]


HealthWord = Literal["healthy", "warning", "critical", "unknown"]
PhaseWord = Literal[
    "pre_deployment", "deployment_active", "post_deployment", "validation", "monitoring", "completed", "failed"
]


class SignalAnswer(TypedDict):
    """A signal of a service's health: its status, its value in its unit, and how often it was measured."""

    name: str
    title: str
    kind: str
    weight: int
    status: HealthWord
    value: float | None
    unit: str
    warning: str
    critical: str
    samples: int
    learn: str
    bound: float
    runbook: str


class KindAnswer(TypedDict):
    """A kind of signals: the worst of their statuses, and the share of its weight that has a value."""

    kind: str
    weight: float
    status: HealthWord
    coverage: float
    signals: int


class ConfidenceAnswer(TypedDict):
    """What an assessment rests on: the product of three shares, and what would raise it."""

    value: float
    coverage: float
    agreement: float
    sufficiency: float
    why_not_higher: list[str]


class AnomalyAnswer(TypedDict):
    """Something that is not as it used to be."""

    kind: Literal["statistical", "pattern", "correlation", "learned"]
    name: str
    signals: list[str]
    degree: Literal["medium", "high"]
    sentence: str
    runbook: str


class RecommendationAnswer(TypedDict):
    """What to do, about which signal, and the page that says how."""

    signal: str
    text: str
    runbook: str


class AssessmentAnswer(TypedDict):
    """An assessment of a deployment's health; `impact` from 0 to 10, null where nobody knows it.

    `problem` says why there is no measurement at all; `next_seconds` after `at` it is assessed again.
    """

    deployment: int
    number: int
    at: Time
    phase: PhaseWord
    status: HealthWord
    score: float | None
    coverage: float
    impact: float | None
    impact_estimated: bool
    problem: str
    next_seconds: float
    kinds: list[KindAnswer]
    signals: list[SignalAnswer]
    confidence: ConfidenceAnswer
    anomalies: list[AnomalyAnswer]
    recommendations: list[RecommendationAnswer]
    unmeasured: list[str]


class GateCheckAnswer(TypedDict):
    """One thing that the gate asks for: how it stands, why, and what to do."""

    require: str
    standing: Literal["open", "closed", "waiting", "unknown"]
    detail: str
    advice: str


class GateAnswer(TypedDict):
    """The gate for a deployment: `waiting` lacks nothing but people's approvals, `unknown` cannot be told now."""

    state: Literal["open", "closed", "waiting", "unknown"]
    policy: str
    service: str
    environment: str
    version: str
    artifact: str
    checks: list[GateCheckAnswer]
    stages: list[str]


class GateApprovalAnswer(TypedDict):
    """A person's approval of a version and artifact; `verified` says whether the server checked who that is."""

    id: int
    service: str
    environment: str
    version: str
    artifact: str
    role: str
    by: str
    verified: bool
    note: str
    at: Time
    expires_at: Time
    withdrawn_at: Time | None
    withdrawn_by: str | None


class GateRecordAnswer(TypedDict):
    """Something that was done for a service, and when."""

    id: int
    service: str
    environment: str
    kind: str
    at: Time
    recorded_at: Time
    by: str
    detail: str


class SpanAnswer(TypedDict):
    """A stretch of time that is compared, and how many incidents opened in it."""

    since: Time
    until: Time
    incidents: int


class SideAnswer(TypedDict):
    """A signal in one of two times, in its unit; `hours` that have a value."""

    median: float | None
    p95: float | None
    hours: int


class ChangeAnswer(TypedDict):
    """A signal before and after a deployment; `change` and `higher` are shares."""

    signal: str
    title: str
    unit: str
    before: SideAnswer
    after: SideAnswer
    change: float | None
    hours: int
    higher: float | None
    told: str


class PerformanceAnswer(TypedDict):
    """A service's performance after a deployment against before it."""

    deployment: DeploymentAnswer
    before: SpanAnswer
    after: SpanAnswer
    signals: list[ChangeAnswer]
    notes: list[str]


class MigrationAnswer(TypedDict):
    """How a migration of a service's database ended."""

    id: int
    service: str
    environment: str
    name: str
    outcome: str
    reason: str
    restore: str
    started_at: Time
    finished_at: Time
    recorded_at: Time
    by: str


class DutyAnswer(TypedDict):
    """Who has which part in a team, from when until when; `stands_in` when by an override."""

    team: str
    role: TeamRole
    rotation: str
    person: str
    channels: list[str]
    since: Time
    until: Time
    stands_in: bool


class GapAnswer(TypedDict):
    """A part in a team that nobody has, and until when."""

    team: str
    role: TeamRole
    until: Time


class OnCallAnswer(TypedDict):
    """Everybody who can be called at a time."""

    at: Time
    on_call: list[DutyAnswer]
    gaps: list[GapAnswer]
    leads: dict[str, str]
    management: list[str]
    contacts: dict[str, str]


class WindowAnswer(TypedDict):
    """A maintenance window; `id` is null for one that recurs by the config."""

    id: int | None
    service: str
    environment: str
    starts_at: Time
    ends_at: Time
    open: bool
    tell: bool
    reason: str
    created_by: str
    ended_by: str | None


class AuditAnswer(TypedDict):
    """One change by a person; `verified` when the server checked who that was."""

    id: int
    at: Time
    who: str
    verified: bool
    what: str
    incident_id: int | None
    path: str
    detail: dict[str, Any]
    remote: str


class ApprovalAnswer(TypedDict):
    """A question about a rollback, and what was answered."""

    id: int
    incident: int
    deployment: int
    to_version: str
    state: str
    asked_at: Time | None
    expires_at: Time | None
    decided_at: Time | None
    decided_by: str | None
    note: str


class ActionsAnswer(TypedDict):
    """What was asked, run and found for an incident."""

    approvals: list[ApprovalAnswer]
    runs: list[dict[str, Any]]
    attachments: list[dict[str, Any]]


class AskedAnswer(TypedDict):
    """Of which incident a rollback is asked for."""

    incident: int


class AllowedAnswer(TypedDict):
    """Which target may be rolled back again, by whose word."""

    service: str
    environment: str
    allowed_by: str
