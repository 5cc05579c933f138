"""What is done of itself for a probable cause, and who owns which dependency."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration


class Cause(StrEnum):
    """Where the trouble probably comes from."""

    RESOURCE = "resource"
    DEPLOYMENT = "deployment"
    DEPENDENCY = "dependency"
    UNKNOWN = "unknown"


Answer = Literal["scale", "rollback", "tell_owner"]


TELL_OWNER: Answer = "tell_owner"


class Causes(Settings):
    """What is done of itself for a cause; nothing, unless it is listed in `actions`.

    `types` says which cause an incident type stands for, `owners` who answers for a dependency: a name from
    `oncall`. A deployment counts as recent for `recent` before the first alert.
    """

    recent: Duration = parse_duration("1h")
    types: dict[str, Cause] = Field(default_factory=dict)
    actions: dict[Cause, tuple[Answer, ...]] = Field(default_factory=dict)
    owners: dict[str, str] = Field(default_factory=dict)
