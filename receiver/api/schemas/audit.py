"""The audit of what people changed, as the API answers it."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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
