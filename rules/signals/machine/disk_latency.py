"""disk_latency: how long one access to a disk takes, of the slowest disk."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.resources import DiskTimes
from deploywatch.rules.signals.signal import (
    AMOUNT,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
    growing,
)

_ACCESSES = Decimal(100)
"""How many accesses a test has from sample to sample."""


class DiskLatency(Signal):
    """Reads and writes apart, disk by disk: many quick writes would hide slow reads, and nine disks a slow one."""

    name = "disk_latency"
    title = "disk latency"
    about = (
        "The mean duration of a read or a write, over the policy's window, of the slowest disk; no value while there "
        "is no access."
    )
    unit = Unit.SECONDS
    needs = (DiskTimes,)
    domain = AMOUNT

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        slowest = promql.grouped("max", policy.series.of(DiskTimes), _each(policy))
        return (Record(self.value(policy), slowest, "mean duration of an access, of the slowest disk"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:disk_access_seconds:max_rate{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return _accesses(policy, "read", value)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        quick, slow = Decimal("0.002"), Decimal("0.5")
        value = self.value(policy)
        return (
            Example(
                "reads take 500 ms, writes 2 ms",
                (*_accesses(policy, "read", slow), *_accesses(policy, "write", quick)),
                {value: slow},
            ),
            Example(
                "one of two disks is slow to write",
                (*_accesses(policy, "write", slow, "sdb"), *_accesses(policy, "write", quick)),
                {value: slow},
            ),
            Example("nothing is read or written", _accesses(policy, "read", quick, each=Decimal(0)), {value: None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (Query("The ten slowest disks, in seconds for an access", f"topk(10, {_each(policy)})"),)


def _each(policy: Policy) -> str:
    """PromQL: the mean duration of a read, and of a write, of each disk."""
    times = policy.series.of(DiskTimes)
    parts = []
    for access, (took, count) in _metrics(times).items():
        above, below = (
            f"rate({promql.raw(policy, times, metric=m)}[{promql.duration(policy.window)}])" for m in (took, count)
        )
        # Each with a label, as `or` would take the reads' series for the writes', which have the same labels.
        parts.append(f'label_replace({above} / ({below} > 0), "access", "{access}", "", "")')
    return "(" + "\nor\n".join(parts) + ")"


def _metrics(times: DiskTimes) -> dict[str, tuple[str, str]]:
    return {"read": (times.read_metric, times.read_per), "write": (times.metric, times.per)}


def _accesses(
    policy: Policy, access: str, each_takes: Decimal, device: str = "sda", *, each: Decimal = _ACCESSES
) -> tuple[InputSeries, ...]:
    times = policy.series.of(DiskTimes)
    took, count = (promql.sample_series(policy, times, metric=m, device=device) for m in _metrics(times)[access])
    return growing(policy, took, each_takes * each), growing(policy, count, each)


SIGNAL = DiskLatency()
