"""cpu: how busy the processors of a service are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.resources import Cpu
from deploywatch.rules.signals.signal import (
    SHARE,
    Domain,
    Example,
    InputSeries,
    Query,
    Reading,
    Record,
    Signal,
    growing,
    seconds,
)


class Processor(Signal):
    """Busy is what is not idle (node_exporter), or what was used of one core (cAdvisor), as the mean of all."""

    name = "cpu"
    title = "CPU"
    about = "Busy processor time as a share: of all cores of machines, or of one core for containers."
    unit = Unit.RATIO
    needs = (Cpu,)
    domain: Domain = SHARE

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        mean = promql.grouped("avg", policy.series.of(Cpu), _rate(policy))
        idle = policy.series.of(Cpu).counts == "idle"
        return (Record(self.value(policy), f"1 - {mean}" if idle else mean, "busy processor time, as a share"),)

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Cpu).base}:busy_ratio_rate{promql.duration(policy.window)}"

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (_core(policy, "0", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        two = (_core(policy, "0", Decimal("0.9")), _core(policy, "1", Decimal("0.5")))
        return (
            Example("two cores, 90 % and 50 % busy", two, {self.value(policy): Decimal("0.7")}),
            Example("nobody counts", (), {self.value(policy): None}),
        )

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        busy = f"1 - avg by (instance) ({_rate(policy)})"
        used = f"sum by (instance, container) ({_rate(policy)})"
        return (Query("CPU by instance", busy if policy.series.of(Cpu).counts == "idle" else used),)


def _rate(policy: Policy) -> str:
    cpu = policy.series.of(Cpu)
    counted = promql.raw(policy, cpu, matchers=[(label, "=", text) for label, text in cpu.only.items()])
    return f"rate({counted}[{promql.duration(policy.window)}])"


def _core(policy: Policy, core: str, busy: Decimal) -> InputSeries:
    cpu = policy.series.of(Cpu)
    share = 1 - busy if cpu.counts == "idle" else busy
    return growing(policy, promql.sample_series(policy, cpu, cpu=core, **cpu.only), share * seconds(policy.interval))


SIGNAL = Processor()
