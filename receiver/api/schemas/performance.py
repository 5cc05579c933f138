"""A service's performance before and after a deployment, as the API answers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.deployments import DeploymentAnswer
from deploywatch.receiver.api.schemas.fields import Time


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
