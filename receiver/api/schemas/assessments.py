"""Assessments of a deployment's health, as the API answers them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time

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
