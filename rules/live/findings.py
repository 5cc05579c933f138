"""What was found in a live Prometheus, as values: where it stands in the policy, how bad it is, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from deploywatch.files.document import Path


class Grade(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """The policy cannot do what it says: an alert is silent for ever, or never ends."""
    WARNING = "warning"
    """Something that people should look at, and may be meant."""
    UNKNOWN = "unknown"
    """The server did not tell."""
    NOTE = "note"
    """What there is to know: how often an alert would have fired, what a rule costs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `path` is the key in the policy that it is about."""

    grade: Grade
    path: Path
    message: str
