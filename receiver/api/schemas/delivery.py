"""How services are delivered, as the API answers it."""

from __future__ import annotations

from typing_extensions import TypedDict

from deploywatch.receiver.api.schemas.fields import Time


class MeasureAnswer(TypedDict):
    """One measure; `value` is null where there are fewer than `enough`, `of` says what the `n` are."""

    value: float | None
    n: int
    of: str


class FailedAnswer(TypedDict):
    """A deployment that failed, why and since when; `recovered` is null while it is not over."""

    deployment: int
    version: str
    why: str
    since: Time
    recovered: Time | None


class TargetDelivery(TypedDict):
    """How one service was delivered to one environment; times in seconds, rates from 0 to 1."""

    service: str
    environment: str
    days: float
    deployments: int
    running: int
    change_lead_time_seconds: MeasureAnswer
    deployment_frequency_per_day: MeasureAnswer
    failed_deployment_recovery_time_seconds: MeasureAnswer
    change_fail_rate: MeasureAnswer
    deployment_rework_rate: MeasureAnswer
    mean_time_to_recovery_seconds: MeasureAnswer
    success_rate: MeasureAnswer
    rollbacks: int
    failed: list[FailedAnswer]
    notes: list[str]


class DeliveryAnswer(TypedDict):
    """Delivery over a time, by service and environment; `notes` say what could not be counted."""

    since: Time
    until: Time
    enough: int
    targets: list[TargetDelivery]
    notes: list[str]
