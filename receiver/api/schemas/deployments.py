"""Deployments, as the API answers them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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


class RecordedAnswer(DeploymentAnswer):
    """One deployment as it was recorded; `notice` is what its pipeline should know, empty where there is nothing."""

    notice: str


class ImportAnswer(TypedDict):
    """How many records were `new`, how many the ledger had already, and what is to be known, each at its record."""

    new: int
    known: int
    notices: list[str]
