"""What part of a signal's series an alert is about: a role of a deployment, labels that count, another window."""

from __future__ import annotations

from typing import Literal

from deploywatch.config import Settings
from deploywatch.rules.language.fields import Period
from deploywatch.rules.series.names import Chosen, LabelName, Pattern

Role = Literal["canary", "stable"]


class Part(Settings):
    """The part that counts, beyond what the policy's `series` choose; labels are those that the series bear."""

    role: Role | None = None
    only: dict[LabelName, Chosen] | None = None
    excluding: dict[LabelName, Pattern] | None = None
    window: Period | None = None
