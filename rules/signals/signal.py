"""What a signal is: a name, a unit, and what it is made of in PromQL; and what an alert reads from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from deploywatch.quantity import Quantity, Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.inventory import Series
from deploywatch.rules.series.requests import Measured


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that a number can take; `whole` when there is nothing between 0 and 1."""

    lowest: Decimal | None = Decimal(0)
    highest: Decimal | None = None
    whole: bool = False

    def __contains__(self, value: Decimal) -> bool:
        return (
            (self.lowest is None or value >= self.lowest)
            and (self.highest is None or value <= self.highest)
            and (not self.whole or value == int(value))
        )


SHARE = Domain(highest=Decimal(1))
YES_NO = Domain(highest=Decimal(1), whole=True)
COUNT = Domain(whole=True)
AMOUNT = Domain()
ANY = Domain(lowest=None)


# Prometheus evaluates groups side by side and rules of one group in order, so what is read must be in an earlier group,
# or earlier in the same.
class Group(StrEnum):
    """Groups of recording rules, in the order in which one reads what another left; within one, rules run in order."""

    SIGNALS = "recording"
    BASELINES = "baselines"
    COMPARISONS = "comparisons"
    HEALTH = "health"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule: its name, its expression, and why it is there."""

    name: str
    expression: str
    about: str
    group: Group = Group.SIGNALS
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that it adds, beside the policy's name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an alert compares: a recorded series and a number in that series's own unit.

    `phrase` tells people what the value means, with the value at `{}`; `remark` explains the threshold.
    """

    record: str
    threshold: Decimal
    unit: Unit
    domain: Domain
    phrase: str = "{}"
    remark: str = ""


@dataclass(frozen=True, slots=True)
class InputSeries:
    """A series as promtool's tests write it: name with labels, values in expanding notation."""

    series: str
    values: str


@dataclass(frozen=True, slots=True)
class Example:
    """Raw series and what is recorded from them: a value for each recorded series, none where there must be none.

    `every` and `at` are how often the rules are evaluated and when the values are looked at; without them, at the
    policy's interval, once its window has filled. `spacing` is how far the series' samples lie apart, if not that far.
    """

    name: str
    inputs: tuple[InputSeries, ...]
    expected: Mapping[str, Decimal | None]
    every: timedelta | None = None
    at: timedelta | None = None
    spacing: timedelta | None = None
    deployment: str = ""
    """Which deployment it tells of, if any; one that tells of none must not see another's."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question worth asking during an incident, ready to paste."""

    about: str
    expression: str


class Signal(ABC):
    """One thing about a service that a policy can set a limit to."""

    name: str
    title: str
    about: str
    unit: Unit
    needs: tuple[type[Measured], ...]
    domain: Domain = AMOUNT
    labels: tuple[str, ...] = ()
    """Labels of ours that it bears beside service and environment."""
    phrase: str = "{}"
    """What a value means, with the value at `{}`."""

    def refuse(self, series: Series, bound: Decimal) -> str | None:
        """Why these series cannot tell whether the signal is beyond `bound`; None when they can."""
        return None

    def seen(self, policy: Policy) -> Policy:
        """The policy whose series and window the signal is made of; a view has its own."""
        return policy

    def unfit(self, series: Series) -> str | None:
        """Why nothing can be made of these series; None when it can."""
        return None

    @abstractmethod
    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        """What is to be recorded, in order of dependency, for alerts at these bounds, in the signal's base unit."""

    @abstractmethod
    def value(self, policy: Policy) -> str:
        """The recorded series that has the signal's value."""

    def reading(self, policy: Policy, limit: Quantity) -> Reading:
        """What an alert at `limit` compares; the value itself, unless a signal knows better."""
        return Reading(self.value(policy), limit.value, self.unit, self.domain, self.phrase)

    def there(self, policy: Policy) -> tuple[str, tuple[promql.Matcher, ...]]:
        """The recorded series, and what it is selected by, that is there while the signal is measured.

        That is its value, unless that is away while nothing happens.
        """
        return self.value(policy), ()

    def beside(self, policy: Policy) -> Mapping[str, str]:
        """Recorded series that dashboards show beside the value: each by what it is, such as `mean`."""
        return {}

    @abstractmethod
    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        """Raw series from which `reading.record` comes out as `value`; none where that takes long."""

    @abstractmethod
    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        """Raw series with what must be recorded from them, traps included."""

    @abstractmethod
    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        """Queries that break the signal down."""


def steps(policy: Policy) -> int:
    """How many samples after the first fill a window, the longest wait, and a window again."""
    longest = max(alert.for_ for alert in policy.alerts)
    # Rounded up: // rounds down, also below zero.
    return -(-(2 * longest_window(policy) + longest) // policy.interval)


def longest_window(policy: Policy) -> timedelta:
    """The longest window of the policy and its alerts."""
    return max(policy.window, *(alert.window or policy.window for alert in policy.alerts))


def steady(policy: Policy, series: str, value: Decimal) -> InputSeries:
    """A gauge that stays."""
    return InputSeries(series, f"{promql.number(value)}x{steps(policy)}")


def growing(policy: Policy, series: str, each: Decimal) -> InputSeries:
    """A counter that grows by `each` from sample to sample."""
    return InputSeries(series, f"0+{promql.number(each)}x{steps(policy)}")


def seconds(duration: timedelta) -> Decimal:
    """A duration in seconds, exactly."""
    return Decimal(duration // timedelta(microseconds=1)) / 1_000_000
