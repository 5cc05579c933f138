"""What a verdict is made of: what a stage is judged by, what its limits say, and the answer; all of them values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from deploywatch.verdict.evidence import Counts, Look

# Long enough for traffic that comes late, short enough that nobody forgets that a stage is open.
MOST_STAGES = 3
"""A person is asked after so many times the stage's time."""


class Answer(StrEnum):
    """The four answers, in the order in which they are looked for."""

    ERROR = "error"
    ROLL_BACK = "roll_back"
    PROMOTE = "promote"
    HOLD = "hold"


class Reason(StrEnum):
    """Why an answer was given; from `LOW_TRAFFIC` on, why it is hold."""

    SOURCE = "source"
    INVALID_COUNTS = "invalid_counts"
    MISSING_LOOKS = "missing_looks"
    NO_LIMITS = "no_limits"
    PROVEN_BAD = "proven_bad"
    PROVEN_GOOD = "proven_good"
    LOW_TRAFFIC = "low_traffic"
    UNDECIDED = "undecided"
    CONTROL_BAD_TOO = "control_bad_too"
    SHARE_MISMATCH = "share_mismatch"
    WATCH = "watch"
    GAP = "gap"
    NEEDS_PERSON = "needs_person"


_ERRORS = (Reason.SOURCE, Reason.INVALID_COUNTS, Reason.MISSING_LOOKS, Reason.NO_LIMITS)
POSSIBLE: tuple[tuple[Answer, Reason], ...] = (
    *((Answer.ERROR, reason) for reason in _ERRORS),
    (Answer.ROLL_BACK, Reason.PROVEN_BAD),
    (Answer.PROMOTE, Reason.PROVEN_GOOD),
    *((Answer.HOLD, reason) for reason in list(Reason)[list(Reason).index(Reason.LOW_TRAFFIC) :]),
)
"""Every answer with every reason that it can have, so that each is counted from 0."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A limit with what was counted: a ratio of all requests, or (`relative`) times the control's ratio.

    `looks` are all that are due until now, oldest first; None where one is missing. `before` are the control's looks of
    the hour before the deployment (as `requests` and `bad`), which say how much bad requests scatter. `note` is what
    people should know of the limit, and is told with it.
    """

    name: str
    limit: float
    looks: Sequence[Look | None]
    before: Sequence[Look] = ()
    relative: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """A condition on what is not counted (CPU, `up`): whether it was bad at each look; None where not measured."""

    name: str
    bad: Sequence[bool | None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage is judged by. Durations in seconds, probabilities and shares from 0 to 1.

    After `at_most` without an answer a person is asked: three times the stage's time, when not given.
    """

    lasts: float
    stages: int = 1
    share: float | None = None
    control: bool = True
    false_rollback: float = 0.01
    false_promotion: float = 0.05
    # Two scrapes of 15 s, so that a rate has what it needs.
    look: float = 30.0
    at_most: float | None = None

    @property
    def most(self) -> float:
        """Seconds after which a person is asked."""
        return self.at_most if self.at_most is not None else MOST_STAGES * self.lasts

    @property
    def other(self) -> str:
        """What the version is compared with, in a word."""
        return "stable" if self.control else "before"

    def __post_init__(self) -> None:
        for name, chance in (("false_rollback", self.false_rollback), ("false_promotion", self.false_promotion)):
            if not 0 < chance < 1:
                raise ValueError(f"{name} lies between 0 and 1, not {chance:g}")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one limit's looks say. `needed`: more requests until it is proven kept, None if they would not prove it."""

    name: str
    limit: float
    relative: bool
    counts: Counts
    coverage: float
    dispersion: float
    log_e_bad: float
    log_e_good: float | None
    bad: bool
    good: bool
    control_bad: bool
    needed: int | None = None
    minutes: float | None = None
    note: str = ""

    @property
    def sufficiency(self) -> float:
        """The share of the requests needed that has been counted, 0 to 1."""
        if self.bad or self.good:
            return 1.0
        if self.needed is None:
            return 0.0
        # Not of the time: without traffic time proves nothing.
        return self.counts.requests / max(1, self.counts.requests + self.needed)

    @property
    def agrees(self) -> Answer:
        """The answer that this limit alone speaks for."""
        return Answer.ROLL_BACK if self.bad else Answer.PROMOTE if self.good else Answer.HOLD


@dataclass(frozen=True, slots=True)
class Confidence:
    """How much a verdict rests on, piece by piece; the product, at most `most`."""

    coverage: float
    agreement: float
    sufficiency: float
    most: float = 1.0

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return min(self.most, self.coverage * self.agreement * self.sufficiency)

    @property
    def why_not_higher(self) -> list[str]:
        """What would raise it."""
        pieces = [
            (self.coverage, "of the looks have counts"),
            (self.agreement, "of the limits agree"),
            (self.sufficiency, "of the requests needed were counted"),
        ]
        reasons = [f"{percent(share)} {text}" for share, text in pieces if share < 1]
        return reasons + ([f"at most {percent(self.most)}: time of day not excluded"] if self.most < 1 else [])


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict: the answer, the most serious reason, further ones (`also`), and a sentence for each."""

    answer: Answer
    reason: Reason
    sentences: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    also: tuple[Reason, ...] = ()
    confidence: Confidence = Confidence(0.0, 0.0, 0.0)


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, without decimals."""
    return f"{100 * share:.0f} %"
