"""error_ratio: failed requests as a share of all."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.requests import Requests
from deploywatch.rules.signals.signal import SHARE, Example, InputSeries, Query, Reading, Record, Signal, growing

# So many requests in a step that a share of 0.01 % is one of them.
_EACH = Decimal(10_000)


class ErrorRatio(Signal):
    """No traffic is no value; traffic without a series of errors is 0."""

    name = "error_ratio"
    title = "error ratio"
    about = "Failed requests as a share of all requests, over the policy's window; no value without traffic."
    unit = Unit.RATIO
    needs = (Requests,)
    domain = SHARE

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        return (
            *requests(policy),
            Record(
                self.value(policy),
                f"{promql.recorded(policy, error_rate(policy))}\n"
                f"/\n({promql.recorded(policy, request_rate(policy))} > 0)",
                "failed requests as a share of all; no value without traffic",
            ),
        )

    def value(self, policy: Policy) -> str:
        base = policy.series.of(Requests).base
        window = promql.duration(policy.window)
        return f"{promql.level()}:{_errors(base)}_per_{base}:ratio_rate{window}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (
            counter(policy, failing=False, each=(1 - value) * _EACH),
            counter(policy, failing=True, each=value * _EACH),
        )

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        good, bad, ratio = Decimal(98), Decimal(2), self.value(policy)
        return (
            Example(
                "2 of 100 requests fail",
                (counter(policy, failing=False, each=good), counter(policy, failing=True, each=bad)),
                {ratio: Decimal("0.02")},
            ),
            Example(
                "there is traffic, and no series of errors",
                (counter(policy, failing=False, each=good),),
                {ratio: Decimal(0)},
            ),
            Example(
                "there is no traffic",
                (counter(policy, failing=False, each=Decimal(0)), counter(policy, failing=True, each=Decimal(0))),
                {ratio: None},
            ),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        requests, window = policy.series.of(Requests), promql.duration(policy.window)
        rate = f"rate({promql.raw(policy, requests)}[{window}])"
        failed = promql.raw(policy, requests, matchers=[(requests.status, "=~", requests.errors)])
        return (
            Query("Requests a second by status", f"sum by ({promql.name(requests.status)}) ({rate})"),
            Query("Which instances fail", f"sum by (instance) (rate({failed}[{window}]))"),
        )


# Where all requests fail there is no series of good ones, and a sum with nothing is nothing: hence the last `or`.
def requests(policy: Policy) -> tuple[Record, ...]:
    """Requests that were good, those that failed, and all: each counter is counted once."""
    source = policy.series.of(Requests)
    series = (
        promql.raw(policy, source, matchers=[(source.status, operator, source.errors)]) for operator in ("!~", "=~")
    )
    good, failed = (promql.grouped("sum", source, promql.per_second(policy, counters)) for counters in series)
    of_good, of_failed = (promql.recorded(policy, name) for name in (good_rate(policy), error_rate(policy)))
    return (
        Record(good_rate(policy), good, "requests a second that did not fail"),
        Record(
            error_rate(policy),
            f"{failed}\nor on ({', '.join(promql.sample_labels(policy))})\n{of_good} * 0",
            "failed requests a second; a service that never failed has no such series, and 0 is meant",
        ),
        Record(request_rate(policy), f"({of_good} + {of_failed})\nor\n{of_failed}", "requests a second"),
    )


def request_rate(policy: Policy) -> str:
    """The recorded series of requests a second, which throughput is too."""
    return f"{promql.level()}:{policy.series.of(Requests).base}:rate{promql.duration(policy.window)}"


def error_rate(policy: Policy) -> str:
    """The recorded series of failed requests a second."""
    return f"{promql.level()}:{_errors(policy.series.of(Requests).base)}:rate{promql.duration(policy.window)}"


def good_rate(policy: Policy) -> str:
    """The recorded series of requests a second that were answered well."""
    base = policy.series.of(Requests).base.removesuffix("s")
    return f"{promql.level()}:{base}_good:rate{promql.duration(policy.window)}"


def _errors(base: str) -> str:
    return f"{base.removesuffix('s')}_errors"


def counter(policy: Policy, *, failing: bool, each: Decimal) -> InputSeries:
    """A raw counter of good or failed requests that grows by `each` from sample to sample."""
    requests = policy.series.of(Requests)
    outcome = {requests.status: requests.failing if failing else requests.passing}
    return growing(policy, promql.sample_series(policy, requests, **outcome), each)


SIGNAL = ErrorRatio()
