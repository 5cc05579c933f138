"""Layers: how often probes run and how long one may take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Self

from pydantic import model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration


class Layer(Settings):
    """How often a layer's probes run, how long one may take, and up to how much later than regularly one begins."""

    interval: Duration
    timeout: Duration
    jitter: Duration = timedelta(0)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.interval <= timedelta(0) or self.timeout <= timedelta(0):
            raise ValueError("interval and timeout must be more than 0s")
        if self.timeout > self.interval:
            raise ValueError("timeout is longer than interval; a run would not be over when the next is due")
        if not timedelta(0) <= self.jitter <= self.interval / 2:
            raise ValueError("jitter must be from 0s to half of interval")
        return self


LAYERS: Mapping[str, Layer] = {
    # Source 002, monitoring layers.
    "immediate": Layer.model_validate({"interval": "30s", "timeout": "10s"}),
    "comprehensive": Layer.model_validate({"interval": "2m", "timeout": "30s"}),
    "business": Layer.model_validate({"interval": "5m", "timeout": "60s"}),
}
