"""What the configuration says of investigating: which numbers are looked up, which logs are fetched."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.executors.choice import Choice
from deploywatch.receiver.settings.prometheus import Query


class Log(Choice):
    """A command whose output is kept with the incident."""

    ways: ClassVar[tuple[str, ...]] = ("command",)
    placeholders: ClassVar[frozenset[str]] = frozenset({"service", "environment"})

    name: Annotated[str, Field(min_length=1, max_length=100)]
    service: str = "*"
    environment: str = "*"
    timeout: Duration = parse_duration("30s")

    def covers(self, service: str, environment: str) -> bool:
        """Whether it is meant for that service in that environment."""
        return self.service in ("*", service) and self.environment in ("*", environment)


class Investigate(Settings):
    """What is looked at when an incident is investigated, beside alerts, deployments and health."""

    signals: tuple[Query, ...] = ()
    logs: tuple[Log, ...] = ()
