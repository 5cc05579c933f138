"""What the configuration says of commands of one's own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from deploywatch.receiver.settings.executors.choice import Choice


class Run(Choice):
    """One command, run once an incident and severity; `severities` and `service` narrow it."""

    placeholders: ClassVar[frozenset[str]] = frozenset({"service", "environment", "severity", "incident"})

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,39}$")]
    service: str = "*"
    environment: str = "*"

    def covers(self, service: str, environment: str) -> bool:
        """Whether it is meant for that service in that environment."""
        return self.service in ("*", service) and self.environment in ("*", environment)
