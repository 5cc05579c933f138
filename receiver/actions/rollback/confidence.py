"""Source 004, W6: what the firing alerts say about rolling back, as a value with its reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from deploywatch.receiver.settings.actions.rollback import Decide

# Source 004: `Math.min(issueCount * 0.3, 1.0)`.
# So that three different issues make 90 %, and four are sure.
_CONFIDENCE_OF_ONE = 0.3


class Advice(StrEnum):
    """What to do: at once, by a person's word, or nothing but watch."""

    IMMEDIATE = "immediate"
    GRADUAL = "gradual"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The advice, how sure it is (0 to 1), and the sentence for people."""

    advice: Advice
    confidence: float
    detail: str


def weigh(issues: Iterable[str], settings: Decide) -> Verdict:
    """Judge the different issues that were found: each is an alert that fires, whose threshold is passed.

    Enough of them and confidence: immediate. Enough, but less sure: gradual, which a person decides. Else: monitor.
    """
    # The same alert for ten pods is one issue.
    different = sorted(set(issues))
    # Rounded, as three times 0.3 is 0.8999999999999999, which a limit of 0.9 would not meet.
    confidence = min(round(len(different) * _CONFIDENCE_OF_ONE, 2), 1.0)
    enough = len(different) >= settings.issues
    advice = Advice.MONITOR
    if enough:
        advice = Advice.IMMEDIATE if confidence >= settings.confidence else Advice.GRADUAL
    names = ", ".join(different[:5]) + (f" and {len(different) - 5} more" if len(different) > 5 else "")
    detail = (
        f"{len(different)} of {settings.issues} issues needed ({names or 'none fires'}), "
        f"confidence {confidence:.0%} of {settings.confidence:.0%}: {advice}"
    )
    return Verdict(advice, confidence, detail)
