"""rise, drop, loss: how a signal changed against the time before the newest deployment.

The mean of an hour before the deployment stays the same while the deployment grows older, because the look-back grows
in steps with its age: an hour old, it is the hour that ended an hour ago; up to a day, after which there is no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions import deployments
from deploywatch.rules.conditions.derived import DAY, HOUR, Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import ANY, Domain, Example, Group, Record, Signal, seconds

LADDER = (HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY)
"""Up to which age of a deployment the look-back is that long."""

LEAST = {
    Unit.RATIO: Decimal("0.001"),
    Unit.SECONDS: Decimal("0.001"),
    Unit.BYTES: Decimal(1),
    Unit.MONEY: Decimal(1),
    Unit.COUNT: Decimal(1),
    Unit.PER_SECOND: Decimal(1),
}
"""What stands for nothing where a signal was 0 before: from nothing to something is a rise, but a crumb is none."""

_SPACING, _ONCE = timedelta(minutes=5), timedelta(hours=2, minutes=30)
"""Samples lie so far apart in examples; rules need be evaluated only when the result is looked at."""


class Change(Derived):
    """How much a signal is more, or less, than before the deployment."""

    def __init__(self, written: str, parts: Sequence[Signal], how: str) -> None:
        of, self.how, self.suffix = parts[0], how, how
        about, unit, domain = {
            "rise": ("rose", Unit.RATIO, Domain(lowest=Decimal(-1))),
            "drop": ("fell", Unit.RATIO, Domain(lowest=None, highest=Decimal(1))),
            "loss": ("fell", of.unit, ANY),
        }[how]
        amount = "as a share of what it was" if unit is Unit.RATIO and how != "loss" else "in its own unit"
        summary = (
            f"How much {of.title} {about} against the hour before the newest deployment, {amount}; for a day after it."
        )
        super().__init__(written, parts, title=f"{how} of {of.title}", about=summary, unit=unit, domain=domain)
        self.phrase = of.phrase if how == "loss" else "{}"

    def own(self, policy: Policy) -> tuple[Record, ...]:
        was = promql.recorded(policy, self._before(policy))
        least = promql.number(LEAST[self.of.unit])
        appeared = f"clamp_min({self.now(policy)} / {least} - 1, 0)\nand {deployments.ON}\n({was} == 0)"
        expression = {
            "rise": f"(\n{self.now(policy)}\n/\n({was} > 0)\n-\n1\n)\nor\n({appeared})",
            "drop": f"1\n-\n{self.now(policy)}\n/\n({was} > 0)",
            "loss": f"{was}\n-\n{self.now(policy)}",
        }[self.how]
        return (
            deployments.age(policy),
            self._baseline(policy),
            Record(self.value(policy), expression, f"{self.title} since the deployment", self.group),
        )

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        """Two hours at 8, then a deployment, then 10; a deployment a day ago; none; nothing before it."""
        after = {"rise": "0.25", "drop": "-0.25", "loss": "-2"}[self.how]
        at, values = 2 * HOUR + HOUR / 2, "8x23 10x24"
        appeared = Decimal(10) / LEAST[self.of.unit] - 1
        before_nothing = {"rise": str(appeared), "drop": None, "loss": "-10"}[self.how]
        still = None if self.how == "drop" else "0"
        tried = {
            "half an hour after a deployment": (2 * HOUR, values, after),
            "a day after a deployment": (at - DAY, values, None),
            "there was no deployment": (None, values, None),
            "it was 0 before the deployment": (2 * HOUR, "0x23 10x24", before_nothing),
            "it was 0 before the deployment, and is": (2 * HOUR, "0x47", still),
        }
        return (
            self._long_after(policy, after),
            *(
                self.example(
                    policy,
                    name,
                    given,
                    {self.value(policy): wanted},
                    at=at,
                    every=_ONCE,
                    spacing=_SPACING,
                    more=[deployments.started(policy, began, 40)] if began is not None else [],
                    deployment=name,
                )
                for name, (began, given, wanted) in tried.items()
            ),
        )

    def _long_after(self, policy: Policy, after: str) -> Example:
        """10 hours at 8, a deployment, and 5 hours later: the look-back of 8 hours is before it."""
        ledger = [deployments.started(policy, 10 * HOUR, 200)]
        return self.example(
            policy,
            "5 hours after a deployment",
            "8x119 10x61",
            {self.value(policy): after},
            at=15 * HOUR,
            every=_ONCE,
            spacing=_SPACING,
            more=ledger,
            deployment="long after",
        )

    def _before(self, policy: Policy) -> str:
        return f"{self.of.value(policy)}_before_deployment"

    def _baseline(self, policy: Policy) -> Record:
        mean, age = f"avg_over_time({self.now(policy)}[1h] offset ", promql.recorded(policy, deployments.AGE)
        rungs = []
        for below, up_to in zip((timedelta(0), *LADDER), LADDER, strict=False):
            since = f" >= {promql.number(seconds(below))}" if below else ""
            held = f"{age}{since} < {promql.number(seconds(up_to))}"
            rungs.append(f"{mean}{promql.duration(up_to)})\nand {deployments.ON}\n{held}")
        expression = "\nor\n".join(f"(\n{rung}\n)" for rung in rungs)
        about = f"{self.of.title} in an hour before the newest deployment, until that is a day old"
        return Record(self._before(policy), expression, about, Group.BASELINES)


def rise(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much more, as a share."""
    return Change(written, parts, "rise")


def drop(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much less, as a share."""
    return Change(written, parts, "drop")


def loss(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much less, in the signal's own unit."""
    return Change(written, parts, "loss")
