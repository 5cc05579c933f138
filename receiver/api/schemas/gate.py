"""The gate for a deployment, as the API answers it."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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
