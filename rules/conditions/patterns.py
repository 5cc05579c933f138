"""trend, oscillation: patterns of a signal over half an hour, from the direction of each of its steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import COUNT, Domain, Example, Record, Signal

SPAN = timedelta(minutes=30)


class Pattern(Derived):
    """From a series of directions: 1 for a step up, -1 for one down, 0 for none."""

    def own(self, policy: Policy) -> tuple[Record, ...]:
        direction = f"{self.of.value(policy)}_direction"
        back = promql.duration(policy.interval)
        # The sign alone: one large step must not outweigh ten small ones the other way.
        step = f"sgn({self.now(policy)} - ({self.now(policy)} offset {back}))"
        return (
            Record(
                direction,
                step,
                f"1 where {self.of.title} rose since the evaluation before, -1 where it fell",
                self.group,
            ),
            Record(self.value(policy), self.over(policy, direction), self.about, self.group),
        )

    @abstractmethod
    def over(self, policy: Policy, direction: str) -> str:
        """PromQL: the pattern, from the directions."""


class Trend(Pattern):
    """Sustained rise or fall."""

    suffix = "trend30m"

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        of = parts[0].title
        about = f"How steadily {of} goes one way over half an hour: 1 when each step went up, -1 when each went down."
        ends = Domain(lowest=Decimal(-1), highest=Decimal(1))
        super().__init__(written, parts, title=f"trend of {of}", about=about, unit=Unit.COUNT, domain=ends)

    def over(self, policy: Policy, direction: str) -> str:
        return f"avg_over_time({promql.recorded(policy, direction)}[{promql.duration(SPAN)}])"

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value, samples, at = self.value(policy), 2 * SPAN // policy.interval, SPAN + SPAN / 2
        return (
            self.example(policy, "each step goes up", f"10+1x{samples}", {value: "1"}, at=at),
            self.example(policy, "each step goes down", f"10000-1x{samples}", {value: "-1"}, at=at),
            self.example(policy, "it stands still", f"10x{samples}", {value: "0"}, at=at),
            self.example(policy, "there are no values", f"_x{samples}", {value: None}, at=at),
        )


class Oscillation(Pattern):
    """How often a signal turns; one that stays within 5 % of its mean does not."""

    suffix = "turns30m"

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        of = parts[0].title
        about = f"How often {of} turned within half an hour; 0 while it stays within 5 % of its mean."
        super().__init__(written, parts, title=f"oscillation of {of}", about=about, unit=Unit.COUNT, domain=COUNT)

    def over(self, policy: Policy, direction: str) -> str:
        span = f"[{promql.duration(SPAN)}]"
        turns = f"changes({promql.recorded(policy, direction)}{span})"
        wide = (
            # Noise turns at every evaluation; only swings that matter against the mean count.
            f"(stddev_over_time({self.now(policy)}{span}) > bool 0.05 * abs(avg_over_time({self.now(policy)}{span})))"
        )
        return f"{turns}\n*\n{wide}"

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        """Up for twelve minutes, down for twelve, up again, looked at over the last of both turns."""
        value, twelve = self.value(policy), timedelta(minutes=12) // policy.interval
        at = timedelta(minutes=36)
        legs = f"10+10x{twelve} {10 + 10 * (twelve - 1)}-10x{twelve - 1} 20+10x{twelve}"
        small = f"1000+1x{twelve} {1000 + twelve - 1}-1x{twelve - 1} 1001+1x{twelve}"
        return (
            self.example(policy, "up, down, and up again", legs, {value: "2"}, at=at),
            self.example(policy, "the same within 5 % of the mean", small, {value: "0"}, at=at),
            self.example(policy, "there are no values", "_x10", {value: None}, at=at),
        )
