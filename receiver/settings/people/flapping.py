"""How long an incident that keeps coming back must stay quiet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration


class Damping(Settings):
    """After `reopenings` within `window` the quiet time is `quiet_time`, where that is longer than the usual one."""

    reopenings: Annotated[int, Field(ge=1)] = 3
    window: Duration = parse_duration("1h")
    quiet_time: Duration = parse_duration("30m")
