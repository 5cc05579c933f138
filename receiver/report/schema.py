"""The report as JSON; times are ISO 8601 in UTC, shares from 0 to 1."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class ReportLimit(TypedDict):
    """A limit of a stage: what was counted of both versions, and what that proves."""

    name: str
    relative: bool
    limit: float
    requests: int
    bad: int
    ratio: float | None
    control_requests: int | None
    control_bad: int | None
    proven: Literal["bad", "good", "neither"]
    sentence: str


class ReportStage(TypedDict):
    """A stage that was begun, with the newest verdict on it."""

    stage: str
    share: float
    state: str
    answer: str | None
    reason: str | None
    started_at: str
    ended_at: str | None
    accepted_by: str | None
    accepted_why: str | None
    sentences: list[str]
    limits: list[ReportLimit]


class ReportVerdict(TypedDict):
    """The verdict that the deployment stands on: its stage, answer, reason, sentences and confidence."""

    stage: str
    at: str
    answer: str
    reason: str
    sentences: list[str]
    confidence: dict[str, Any]


class ReportTrend(TypedDict):
    """One of the last assessments."""

    at: str
    phase: str
    status: str
    score: float | None
    impact: float | None
    confidence: float


class ReportDeployment(TypedDict):
    """One of the deployments before."""

    id: int
    at: str
    version: str
    strategy: str
    status: str
    verdict: str | None
    success: str | None


class BandPoint(TypedDict):
    """What is usual in an hour that begins at `at`."""

    at: str
    low: float
    median: float
    high: float


class BandValue(TypedDict):
    """What was measured."""

    at: str
    value: float


class ReportBand(TypedDict):
    """A signal beside what was usual for it at these hours, learned without what is `left_out`."""

    signal: str
    unit: str
    usual: list[BandPoint]
    values: list[BandValue]
    left_out: list[str]


class Report(TypedDict):
    """Everything that the report says. `assessment` is as `/deployments/{id}/assessments` gives it."""

    generated_at: str
    sentence: str
    phase: str
    deployment: dict[str, Any]
    verdict: ReportVerdict | None
    stages: list[ReportStage]
    assessment: dict[str, Any] | None
    trend: list[ReportTrend]
    bands: list[ReportBand]
    recommendations: list[dict[str, Any]]
    before: list[ReportDeployment]
    unmeasured: list[str]
