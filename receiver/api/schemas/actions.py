"""What was asked, run and allowed for an incident, as the API answers it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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
