"""throughput, throughput_per_minute, throughput_mean, throughput_peak: how many requests a service is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Requests
from deploywatch.rules.signals.service.error_ratio import counter, request_rate, requests
from deploywatch.rules.signals.signal import (
    AMOUNT,
    Domain,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
    seconds,
)


class Throughput(Signal):
    """The same recorded series that error_ratio divides by."""

    name = "throughput"
    title = "throughput"
    about = "Requests a second, whatever their outcome, over the policy's window."
    unit = Unit.PER_SECOND
    needs = (Requests,)
    domain: Domain = AMOUNT

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        return requests(policy)

    def value(self, policy: Policy) -> str:
        return request_rate(policy)

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (_counter(policy, value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        bad = counter(policy, failing=True, each=1 * seconds(policy.interval))
        return (
            Example("3 good and 1 failed request a second", (_counter(policy, Decimal(3)), bad), self._all(policy, 4)),
            Example("there is no traffic", (_counter(policy, Decimal(0)),), self._all(policy, 0)),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query("Requests a second by instance", f"sum by (instance) ({_rate(policy)})"),)

    def _all(self, policy: Policy, a_second: int) -> dict[str, Decimal | None]:
        return {self.value(policy): Decimal(a_second)}


class PerMinute(Throughput):
    """The same as a count a minute, for those who think in minutes."""

    name = "throughput_per_minute"
    title = "throughput per minute"
    about = "Requests a minute, whatever their outcome, as fast as over the policy's window."
    unit = Unit.COUNT
    phrase = "{} a minute"

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        # Of the same recorded rate, so that a minute and a second can never disagree.
        by_minute = f"{promql.recorded(policy, request_rate(policy))} * 60"
        return (*requests(policy), Record(self.value(policy), by_minute, "requests a minute"))

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Requests).base}:rate_per_minute{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (_counter(policy, value / 60),)

    def _all(self, policy: Policy, a_second: int) -> dict[str, Decimal | None]:
        return {self.value(policy): Decimal(60 * a_second)}


class OverAnHour(Throughput):
    """The mean or the highest of the last hour."""

    def __init__(self, word: str, function: str, about: str) -> None:
        self.name, self.title, self.about, self.function = f"throughput_{word}", f"{word} throughput", about, function
        self.word = word

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        expression = f"{self.function}({promql.recorded(policy, request_rate(policy))}[1h])"
        return (*requests(policy), Record(self.value(policy), expression, f"the {self.word} of the last hour"))

    def value(self, policy: Policy) -> str:
        return f"{request_rate(policy)}_{self.word}1h"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return ()

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        """40 minutes at 10 requests a second, then 20 at 40; the first sample lies outside of the hour."""
        of = {"mean": Decimal(20), "peak": Decimal(40)}[self.word]
        bears = [(label, "=", text) for label, text in promql.sample_labels(policy).items()]
        series = InputSeries(promql.recorded(policy, request_rate(policy), bears), "_ 10x7 40x3")
        every = timedelta(minutes=5)
        return (
            Example("40 minutes at 10/s, then 20 at 40/s", (series,), {self.value(policy): of}, every, 12 * every),
            Example("there is no traffic", (), {self.value(policy): None}, every, 12 * every),
        )


def _rate(policy: Policy) -> str:
    return f"rate({promql.raw(policy, policy.series.of(Requests))}[{promql.duration(policy.window)}])"


def _counter(policy: Policy, a_second: Decimal) -> InputSeries:
    return counter(policy, failing=False, each=a_second * seconds(policy.interval))


SIGNALS = (
    Throughput(),
    PerMinute(),
    OverAnHour("mean", "avg_over_time", "Requests a second, as the mean of the last hour."),
    OverAnHour("peak", "max_over_time", "Requests a second, as the highest of the last hour."),
)
