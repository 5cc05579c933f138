"""How much an assessment rests on: coverage, agreement and sufficiency, multiplied; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploywatch.receiver.assessment.health import Health
from deploywatch.receiver.assessment.measured import Counted, Reading, Status

# As many as what is learned needs for an hour.
SAMPLES_NEEDED = 10
"""Samples of a signal for a full say: the enterprise document's least number of points."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Three shares from 0 to 1.

    `coverage` of the weight that has a value, `agreement` of the measured weight whose own status is the overall one,
    `sufficiency` the mean of what was counted of what is needed, for each signal (samples) and limit (requests).
    """

    coverage: float
    agreement: float
    sufficiency: float

    @property
    def value(self) -> float:
        """From 0 to 1."""
        # A product: each of them can make the whole worthless by itself.
        return self.coverage * self.agreement * self.sufficiency

    @property
    def why_not_higher(self) -> list[str]:
        """What would raise it, in words."""
        pieces = (
            (self.coverage, "of the weight has a value"),
            (self.agreement, "of what is measured has the overall status"),
            (self.sufficiency, "of the samples and requests needed were counted"),
        )
        return [f"{_percent(share)} {text}" for share, text in pieces if share < 1]

    def to_json(self) -> dict[str, Any]:
        """As it is stored and given by the API."""
        return {
            "value": self.value,
            "coverage": self.coverage,
            "agreement": self.agreement,
            "sufficiency": self.sufficiency,
            "why_not_higher": self.why_not_higher,
        }


def confidence(health: Health, readings: Sequence[Reading], counted: Sequence[Counted]) -> Confidence:
    """The confidence in an assessment; nothing measured, or an unknown status, is none."""
    there = [reading for reading in readings if reading.status is not Status.UNKNOWN]
    weight = sum(reading.signal.weight for reading in there)
    same = sum(reading.signal.weight for reading in there if reading.status is health.status)
    enough = [min(1.0, reading.samples / SAMPLES_NEEDED) for reading in there]
    enough += [_counted(limit) for limit in counted]
    return Confidence(
        coverage=health.coverage,
        agreement=same / weight if weight else 0.0,
        # Without any reading, a verdict's counted requests alone say nothing about health.
        sufficiency=sum(enough) / len(enough) if there else 0.0,
    )


def _counted(limit: Counted) -> float:
    """Of requests, none of which would decide, any number is too few."""
    if limit.needed is None:
        return 0.0
    return min(1.0, limit.requests / max(1, limit.needed))


def _percent(share: float) -> str:
    """Rounded down, so that what is not all does not read as 100 %."""
    # Rounded down, so that what is not all does not read as 100 %; the rest is what a float lacks of a whole number.
    return f"{int(share * 100 + 1e-9)} %"
