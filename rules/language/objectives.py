"""Objectives: which share must be good over which time, and who is told when its error budget is spent too fast."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, Quantity, QuantityField, Unit
from deploywatch.rules.language.fields import Action, Channel, IncidentType, Period, Severity, Wait
from deploywatch.rules.language.parts import Part
from deploywatch.rules.series.names import NotEmpty, OwnLabel


class Told(Settings):
    """What an alert of an objective bears, where it is not the usual."""

    severity: Severity | None = None
    incident_type: IncidentType = "error_budget"
    action: Action = "notify"
    channels: tuple[Channel, ...] = ()
    escalate_after: Wait | None = None
    labels: dict[OwnLabel, str] = Field(default_factory=dict)
    annotations: dict[OwnLabel, str] = Field(default_factory=dict)


class Objective(Part):
    """A share of requests that must not fail, of requests that must not take longer, or of probes that must succeed.

    `page` and `ticket` are two alerts, each of two pairs of windows; either can be left out with `null`.
    """

    of: Literal["error_ratio", "availability", "latency"]
    slower_than: Duration | None = None
    target: QuantityField
    over: Period = timedelta(days=30)
    page: Told | None = Told()
    ticket: Told | None = Told()
    source: Annotated[dict[str, str], NotEmpty]

    @field_validator("target")
    @classmethod
    def _leaves_a_budget(cls, value: Quantity) -> Quantity:
        if value.unit is not Unit.RATIO or not 0 < value.value < 1:
            raise ValueError(f"{value} is no objective; write a share below 100%, such as 99.9%")
        return value

    @field_validator("over")
    @classmethod
    def _of_days(cls, value: timedelta) -> timedelta:
        if value % timedelta(hours=1):
            raise ValueError("write whole hours or days, such as 30d")
        return value

    @model_validator(mode="after")
    def _bound_of_latency(self) -> Objective:
        if (self.of == "latency") is not (self.slower_than is not None):
            raise ValueError(
                "`slower_than` is for `of: latency`, which needs it, such as {of: latency, slower_than: 500ms}"
            )
        return self
