"""How urgent it is what an incident of a severity asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deploywatch.receiver.jobs.job import Urgency
from deploywatch.receiver.settings.strategy import Severity

# Warnings and below wait for nobody's sleep: what is critical overtakes them in the queue.
_OF: Final[Mapping[str, Urgency]] = {"critical": Urgency.CRITICAL, "high": Urgency.HIGH}


def of(severity: Severity) -> Urgency:
    """The urgency of telling somebody about such an incident, and of acting on it."""
    return _OF.get(severity, Urgency.NORMAL)
