"""Summaries of durations: the quantiles that a client gives, of each instance by itself.

Quantiles of several instances cannot be put together: no arithmetic gives the quantile of all. The slowest instance
counts, whatever share of the requests it has. They look back as far as the client lets them, mostly ten minutes.
"""

from __future__ import annotations

from decimal import Decimal

from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals.histogram import spellings
from deploywatch.rules.signals.signal import InputSeries, Record, steady

LABEL = "quantile"


def each(policy: Policy, durations: Durations, quantile: Decimal) -> str:
    """PromQL: a quantile of each instance, in the series' own unit."""
    return promql.raw(policy, durations, matchers=[(LABEL, "=~", spellings(quantile))])


def slowest(policy: Policy, durations: Durations, quantile: Decimal, name: str) -> Record:
    """The quantile of the slowest instance, in seconds."""
    in_seconds = f" / {durations.per_second}" if durations.per_second != 1 else ""
    return Record(
        name,
        # Quantiles of instances cannot be averaged; the slowest is at least true of somebody's requests.
        f"{promql.grouped('max', durations, f'({each(policy, durations, quantile)} >= 0)')}{in_seconds}",
        "of the slowest instance, by its client; `>= 0` leaves out the NaN of no traffic",
    )


def raw(policy: Policy, durations: Durations, quantile: Decimal, seconds: Decimal, **labels: str) -> InputSeries:
    """What one instance says of a quantile."""
    bears = {LABEL: promql.number(quantile)} | labels
    return steady(policy, promql.sample_series(policy, durations, **bears), seconds * durations.per_second)
