"""An alert as Alertmanager tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec


class Alert(msgspec.Struct, frozen=True):
    """One alert of a webhook; `starts_at` names its episode, `ends_at` is None while it fires."""

    fingerprint: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    generator_url: str = ""

    @property
    def name(self) -> str:
        """The alert's name, or what identifies it when it has none."""
        return self.labels.get("alertname") or f"alert {self.fingerprint}"
