"""throughput: requests a second."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from rules import promql
from rules.policy import Policy
from rules.series import Requests
from rules.signals.error_ratio import counter, request_rate
from rules.signals.signal import Example, InputSeries, Query, Reading, Record, Signal


class Throughput(Signal):
    """The same recorded series that error_ratio divides by."""

    name = "throughput"
    title = "throughput"
    about = "Requests a second, whatever their outcome, over the policy's window."
    unit = Unit.PER_SECOND
    needs = Requests

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        requests = policy.series.of(Requests)
        return (Record(self.value(policy), promql.grouped("sum", requests, _rate(policy)), "requests a second"),)

    def value(self, policy: Policy) -> str:
        return request_rate(policy)

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (counter(policy, failing=False, each=value * _seconds(policy)),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        good = counter(policy, failing=False, each=3 * _seconds(policy))
        bad = counter(policy, failing=True, each=1 * _seconds(policy))
        still = counter(policy, failing=False, each=Decimal(0))
        return (
            Example("3 good and 1 failed request a second", (good, bad), {self.value(policy): Decimal(4)}),
            Example("there is no traffic", (still,), {self.value(policy): Decimal(0)}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query("Requests a second by instance", f"sum by (instance) ({_rate(policy)})"),)


def _rate(policy: Policy) -> str:
    return f"rate({promql.raw(policy, policy.series.of(Requests))}[{promql.duration(policy.window)}])"


def _seconds(policy: Policy) -> Decimal:
    return Decimal(str(policy.interval.total_seconds()))


SIGNAL = Throughput()
