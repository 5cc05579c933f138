"""Stages of a deployment and the verdicts on them, as the API answers them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.deployments import DeploymentAnswer
from deploywatch.receiver.api.schemas.fields import Time


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
