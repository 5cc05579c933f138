"""rise, drop, loss: how a signal changed against the time before the newest deployment.

The baseline is the mean of the hour before the deployment. It is taken once, when the deployment is first seen, and
stays: a baseline that moves with the deployment's age compares the evening with the night. Only where none was taken,
as after Prometheus was away, is it read from further back, in steps that grow with the deployment's age.

A deployment that begins while an alert that compares the same signal still waits or fires takes no baseline: the one
before it was not well, and what is broken is no measure of what is good.

Amounts, such as requests or money, swing with the day; shares and durations are taken not to. An amount is compared for
an hour after the deployment, and from then on only where it is known how much is usual: the baseline then follows what
is usual at this hour of the week.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions import deployments, seasonal
from deploywatch.rules.conditions.derived import DAY, HOUR, Derived, recorded_name
from deploywatch.rules.language.expression import comparisons
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.signals.signal import ANY, Domain, Example, Group, InputSeries, Record, Signal, seconds

_MINUTE = timedelta(minutes=1)
# PromQL has no "offset by the age of the deployment", so the age chooses one of a few fixed look-backs.
LADDER = (5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, DAY)
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

AMOUNTS = {Unit.BYTES, Unit.MONEY, Unit.COUNT, Unit.PER_SECOND}
"""Units of what swings with the day."""

UNSEASONED = HOUR
"""How long an amount is compared as it is: in an hour, traffic that swings by 60 % a day changes by less than 25 %."""

KEPT = HOUR
"""How long Prometheus may be away without losing a baseline that was taken."""

_DAY = promql.number(seconds(DAY))
_COMPARING = ("rise", "drop", "loss")
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
        until = (
            "for a day after it"
            if of.unit not in AMOUNTS
            else "for an hour after it, for a day where it is known what is usual"
        )
        summary = f"How much {of.title} {about} against the hour before the newest deployment, {amount}; {until}."
        super().__init__(written, parts, title=f"{how} of {of.title}", about=summary, unit=unit, domain=domain)
        self.phrase = of.phrase if how == "loss" else "{}"

    def own(self, policy: Policy) -> tuple[Record, ...]:
        was = promql.recorded(policy, self._expected(policy))
        least = promql.number(LEAST[self.of.unit])
        # From 0 no share can be worked out: it is compared with a crumb instead.
        appeared = f"clamp_min({self.now(policy)} / {least} - 1, 0)\nand {deployments.ON}\n({was} == 0)"
        expression = {
            "rise": f"(\n{self.now(policy)}\n/\n({was} > 0)\n-\n1\n)\nor\n({appeared})",
            "drop": f"1\n-\n{self.now(policy)}\n/\n({was} > 0)",
            "loss": f"{was}\n-\n{self.now(policy)}",
        }[self.how]
        return (
            deployments.age(policy),
            deployments.newest(policy),
            self._baseline(policy, self.of.value(policy), self.of.title),
            *(self._seasoned(policy) if self._is_amount else ()),
            Record(self.value(policy), expression, f"{self.title} since the deployment", self.group),
        )

    @property
    def _is_amount(self) -> bool:
        return self.of.unit in AMOUNTS

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
            *self._long_after(policy, after),
            self._taken_once(policy, after),
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

    def _long_after(self, policy: Policy, after: str) -> tuple[Example, ...]:
        """10 hours at 8, a deployment, and 5 hours later: the look-back of 8 hours is before it."""
        if not self._is_amount:
            return (self._five_hours(policy, "5 hours after a deployment", "8x119 10x61", after),)
        usual = recorded_name(policy, seasonal.usual_record(self.of, policy).name, self.of.labels)
        night = InputSeries(usual, "6x119 3x61")
        seasoned = "-1" if self.how == "loss" else after
        return (
            self._five_hours(
                policy, "5 hours after a deployment, and it is not known what is usual", "8x119 10x61", None
            ),
            self._five_hours(policy, "5 hours after it, when half is usual", "8x119 5x61", seasoned, night),
        )

    def _five_hours(self, policy: Policy, name: str, values: str, wanted: str | None, *more: InputSeries) -> Example:
        return self.example(
            policy,
            name,
            values,
            {self.value(policy): wanted},
            at=15 * HOUR,
            every=_ONCE,
            spacing=_SPACING,
            more=[deployments.started(policy, 10 * HOUR, 200), *more],
            deployment=f"long after {name}",
        )

    def _taken_once(self, policy: Policy, after: str) -> Example:
        """Two hours at 20, one at 8, a deployment, and 45 minutes at 10: it is the hour at 8 that counts."""
        return self.example(
            policy,
            "45 minutes after a deployment the baseline is the one that was taken",
            "20x22 8x12 10x12",
            {self.value(policy): after},
            at=3 * HOUR + 45 * _MINUTE,
            every=_SPACING,
            more=[InputSeries(deployments.started(policy, 3 * HOUR, 1).series, f"_x35 {3 * 3600}x12")],
            deployment="taken once",
        )

    def _before(self, policy: Policy) -> str:
        return f"{self.of.value(policy)}_before_deployment"

    def _expected(self, policy: Policy) -> str:
        """What the signal is compared with: what it was, or for an amount what that comes to at this hour."""
        return f"{self._before(policy)}_expected" if self._is_amount else self._before(policy)

    def _baseline(self, policy: Policy, name: str, title: str) -> Record:
        """The mean of an hour before the newest deployment: the one that was taken, or taken now."""
        record, series = f"{name}_before_deployment", promql.recorded(policy, name)
        mean, age = f"avg_over_time({series}[1h] offset ", promql.recorded(policy, deployments.AGE)
        rungs = []
        for below, up_to in zip((timedelta(0), *LADDER), LADDER, strict=False):
            since = f" >= {promql.number(seconds(below))}" if below else ""
            held = f"{age}{since} < {promql.number(seconds(up_to))}"
            rungs.append(f"(\n{mean}{promql.duration(up_to)})\nand {deployments.ON}\n{held}\n)")
        # What was taken before is kept, since the hour before the deployment slides out of each look-back.
        taken = f"last_over_time({promql.recorded(policy, record)}[{promql.duration(KEPT)}])"
        kept = f"(\n{taken}\nand {deployments.ON}\n({self._stays(policy)})\nand {deployments.ON}\n{age} < {_DAY}\n)"
        about = f"{title} in the hour before the newest deployment that followed a good one, until that is a day old"
        return Record(record, "\nor\n".join((kept, *rungs)), about, Group.BASELINES)

    def _stays(self, policy: Policy) -> str:
        """PromQL: where the newest deployment is the one of before, or begins while the signal is still worse."""
        newest = promql.recorded(policy, deployments.NEWEST)
        step = promql.duration(max(policy.interval, _MINUTE))
        same = f"{newest} == last_over_time({newest}[{promql.duration(KEPT)}] offset {step})"
        names = [alert.alert for alert in policy.alerts if self._compares(alert)]
        if not names:
            return same
        # While the alert goes on, the next deployment is compared with what was before the bad one: a hotfix that
        # changes nothing must not end it.
        matchers = [("alertname", "=~", "|".join(names)), ("alertstate", "=~", "pending|firing")]
        by = f"by ({SERVICE}, {ENVIRONMENT})"
        return f"{same}\nor {deployments.ON}\ngroup {by} ({promql.recorded(policy, 'ALERTS', matchers)})"

    def _compares(self, alert: Alert) -> bool:
        """Whether an alert compares this signal with before."""
        return any(
            comparison.function in _COMPARING and comparison.arguments[0].text == self.of.name
            for comparison in comparisons(alert.condition)
        )

    def _seasoned(self, policy: Policy) -> tuple[Record, ...]:
        """What was before the deployment, moved by what is usual now against what was usual then."""
        usual = seasonal.usual_record(self.of, policy)
        then = self._baseline(policy, usual.name, f"what is usual of {self.of.title}")
        was, now = promql.recorded(policy, self._before(policy)), promql.recorded(policy, usual.name)
        age = promql.recorded(policy, deployments.AGE)
        # In proportion: traffic that doubles every evening is to double after a deployment, too.
        moved = f"{was}\n* {now}\n/ ({promql.recorded(policy, then.name)} > 0)"
        soon = f"{was}\nand {deployments.ON}\n{age} < {promql.number(seconds(UNSEASONED))}"
        about = f"{self.of.title} as it would be now, had nothing been deployed"
        return (usual, then, Record(self._expected(policy), f"({moved})\nor\n({soon})", about, self.group))


def rise(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much more, as a share."""
    return Change(written, parts, "rise")


def drop(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much less, as a share."""
    return Change(written, parts, "drop")


def loss(written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> Signal:
    """By how much less, in the signal's own unit."""
    return Change(written, parts, "loss")
