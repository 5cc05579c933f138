"""What an executor is about to do, as a value that can be shown, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import aiohttp

from deploywatch.clock import Now, Sleep

Values = Mapping[str, str]
"""What placeholders stand for; each value is checked before it goes anywhere."""


@dataclass(frozen=True, slots=True)
class Means:
    """What plans are carried out with."""

    http: aiohttp.ClientSession
    clock: Now
    sleep: Sleep


@dataclass(frozen=True, slots=True)
class Result:
    """How it went, in a sentence; not `known` when it may have happened, or happen still."""

    good: bool
    detail: str
    known: bool = True


class Plan(Protocol):
    """Something to be done once; its text is what people are shown, without secrets."""

    def __str__(self) -> str: ...

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that must be there."""
        ...

    async def perform(self, means: Means, limit: timedelta) -> Result:
        """Do it, within the limit; never raises for what goes wrong outside."""
        ...


class Executor(Protocol):
    """The settings of one way to do it."""

    def plan(self, values: Values, limit: timedelta) -> Plan:
        """The plan with these values filled in; ValueError for a value that could mean more than itself."""
        ...
