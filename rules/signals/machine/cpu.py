"""cpu: how busy the processors of a service are, those of its busiest machine or container."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.resources import CONTAINERS_ONLY, Cpu
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
    """Busy is what is not idle (node_exporter), or what was used of one core (cAdvisor).

    The busiest machine or container counts: a mean hides one that is full among ten that idle.
    """

    name = "cpu"
    title = "CPU"
    about = (
        "Busy processor time as a share: of all cores of a machine, or of one core for a container; of several, the "
        "busiest."
    )
    unit = Unit.RATIO
    needs = (Cpu,)
    domain: Domain = SHARE

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        cpu, each = policy.series.of(Cpu), _each(policy)
        return (
            Record(
                self.value(policy), promql.grouped("max", cpu, each), "busy processor time of the busiest, as a share"
            ),
            Record(self.mean(policy), promql.grouped("avg", cpu, each), "busy processor time as the mean of all"),
        )

    def value(self, policy: Policy) -> str:
        return f"{promql.level()}:{policy.series.of(Cpu).base}:busy_ratio_rate{promql.duration(policy.window)}"

    def mean(self, policy: Policy) -> str:
        """The recorded series that has the mean of all machines or containers."""
        return f"{promql.level()}:{policy.series.of(Cpu).base}:busy_ratio_avg_rate{promql.duration(policy.window)}"

    def beside(self, policy: Policy) -> dict[str, str]:
        return {"mean": self.mean(policy)}

    def raw(self, policy: Policy, reading: Reading, value: Decimal) -> tuple[InputSeries, ...]:
        return (_core(policy, "a", value),)

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        hot, mean = self.value(policy), self.mean(policy)
        ten = (_core(policy, "a", Decimal("0.95")), *(_core(policy, f"b{n}", Decimal("0.05")) for n in range(9)))
        idle = policy.series.of(Cpu).counts == "idle"
        cores = (_core(policy, "a", Decimal("0.9"), core="0"), _core(policy, "a", Decimal("0.5"), core="1"))
        together = Decimal("0.7") if idle else Decimal("1.4")
        return (
            Example("one of ten is hot", ten, {hot: Decimal("0.95"), mean: Decimal("0.14")}),
            Example("two cores of one, 90 % and 50 % busy", cores, {hot: together, mean: together}),
            *self._beside_its_pod(policy),
            Example("nobody counts", (), {hot: None, mean: None}),
        )

    def _beside_its_pod(self, policy: Policy) -> tuple[Example, ...]:
        """A container as cAdvisor has it: its pod's cgroup and its pause container are counted besides."""
        # cAdvisor counts a pod as the sum of its containers, and once more as its pause container.
        if policy.series.of(Cpu).excluded != CONTAINERS_ONLY:
            return ()
        busy = Decimal("0.95")
        beside = (
            _core(policy, "a", Decimal("2.4"), container=""),
            _core(policy, "a", Decimal(0), container="POD"),
        )
        wanted = {self.value(policy): busy, self.mean(policy): busy}
        return (Example("a container beside its pod", (_core(policy, "a", busy), *beside), wanted),)

    def diagnosis(self, policy: Policy) -> tuple[Query, ...]:
        return (
            Query("CPU of the ten busiest machines or containers", f"topk(10, {_each(policy)})"),
            Query("CPU as the mean of all", promql.recorded(policy, self.mean(policy))),
        )


def _each(policy: Policy) -> str:
    """How busy each machine is, as the mean of its cores, or each container, over all cores together."""
    cpu = policy.series.of(Cpu)
    rate = f"rate({promql.raw(policy, cpu)}[{promql.duration(policy.window)}])"
    parts = ", ".join(map(promql.name, dict.fromkeys(("cpu", *cpu.counted))))
    # Of idle time the mean over cores, of used time the sum: a container may use several cores at once.
    return f"1 - avg without ({parts}) ({rate})" if cpu.counts == "idle" else f"sum without ({parts}) ({rate})"


def _core(
    policy: Policy, instance: str, busy: Decimal, *, core: str = "0", container: str | None = None
) -> InputSeries:
    cpu = policy.series.of(Cpu)
    share = 1 - busy if cpu.counts == "idle" else busy
    labels = {name: value for name, value in (("cpu", core), ("instance", instance)) if name not in cpu.sample}
    if container is not None:
        labels["container"] = container
    return growing(policy, promql.sample_series(policy, cpu, **labels), share * seconds(policy.interval))


SIGNAL = Processor()
