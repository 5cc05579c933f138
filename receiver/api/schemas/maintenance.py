"""Maintenance, as the API answers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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
