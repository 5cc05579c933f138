"""Migrations of databases, as the API answers them."""

from __future__ import annotations

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


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
