"""What plans are carried out with, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from deploywatch.clock import Now, Sleep


@dataclass(frozen=True, slots=True)
class Means:
    """What plans are carried out with; commands find the variables that `environment` names."""

    http: aiohttp.ClientSession
    clock: Now
    sleep: Sleep
    environment: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """How it went, in a sentence; not `known` when it may have happened, or happen still."""

    good: bool
    detail: str
    known: bool = True
