"""What an objective counts as bad, and budget_left: the share of its error budget that is left of its time.

The windows and factors of its alerts are those of "Alerting on SLOs" in the Site Reliability Workbook, for 30 days:
14.4 over an hour spends 2 % of the budget, 6 over six hours 5 %, 3 over a day 10 %, 1 over three days 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Quantity, Unit, format_duration
from deploywatch.rules import promql
from deploywatch.rules.conditions.derived import HOUR, Derived
from deploywatch.rules.conditions.view import of_alert, plain
from deploywatch.rules.language.objectives import Objective, Told
from deploywatch.rules.policy import Alert, Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.signals import histogram
from deploywatch.rules.signals.service import availability, error_ratio, health, latency
from deploywatch.rules.signals.signal import Domain, Example, Group, InputSeries, Record, Signal, seconds

OF = (error_ratio.SIGNAL.name, availability.SIGNAL.name)
"""Signals that the policy's one `objective` can be about."""

# Google's SRE workbook: 2 % of a month's budget in an hour, 5 % in six; for a ticket 10 % in a day or in three.
PAGE = (("1h", "14.4"), ("6h", "6"))
TICKET = (("1d", "3"), ("3d", "1"))


class Bad(Derived):
    """What fails, of all: of an objective of the policy by its name, or of a signal under the policy's `objective`."""

    def __init__(self, of: Signal, name: str = "", objective: Objective | None = None) -> None:
        super().__init__(
            name or of.name, (of,), title=name.replace("_", " ") or of.title, about=of.about, unit=Unit.RATIO
        )
        self.named, self.objective = name, objective
        bound = objective.slower_than if objective else None
        self.bound = None if bound is None else seconds(bound)

    def target(self, policy: Policy) -> Quantity:
        """The share that must be good."""
        target = self.objective.target if self.objective else policy.objective
        if target is None:
            raise DeploywatchError("a burn rate needs the policy's objective")
        return target

    @property
    def over(self) -> timedelta:
        """The time that the budget is for."""
        return self.objective.over if self.objective else timedelta(days=30)

    def records(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Record, ...]:
        return self.of.records(policy, () if self.bound is None else (self.bound,))

    def own(self, policy: Policy) -> tuple[Record, ...]:
        return ()

    def value(self, policy: Policy) -> str:
        """What the names of its own series begin with."""
        return self.of.value(policy) + (f"_of_{self.named}" if self.named else "")

    @property
    def is_probed(self) -> bool:
        """Whether it is about results of probes, all of which weigh alike."""
        return plain(self.of).name == availability.SIGNAL.name

    def averages(self, policy: Policy, span: str) -> tuple[str, str]:
        """PromQL: how many were bad a second over a span, and how many there were."""
        seen = self.of.seen(policy)
        # A probe has no requests to weigh by: each run counts alike, so that the mean over time is the share.
        if self.is_probed:
            good = f"avg_over_time({promql.recorded(policy, self.of.value(policy))}[{span}])"
            return f"(1 - {good})", f"({good} * 0 + 1)"
        if self.bound is None:
            names = error_ratio.error_rate(seen), error_ratio.request_rate(seen)
            bad, every = (f"avg_over_time({promql.recorded(policy, name)}[{span}])" for name in names)
            return bad, every
        total, quick = (f"sum without (le) (avg_over_time({bucket}[{span}]))" for bucket in self._buckets(policy))
        return f"({total} - {quick})", total

    def share(self, policy: Policy, span: str) -> str:
        """PromQL: the share that was bad over a span; of requests, weighted by how many there were."""
        bad, every = self.averages(policy, span)
        # `> 0` makes no traffic no value: 0 / 0 would be NaN, which compares as false and hides an outage of counting.
        return bad if self.is_probed else f"({bad} / ({every} > 0))"

    def failing(self, policy: Policy, bad: int, good: int, of_each: int) -> tuple[InputSeries, ...]:
        """Raw series of which `of_each` in 100 requests, or one of two probes, fail for so many samples, then none."""
        seen = self.of.seen(policy)
        if self.is_probed:
            up, down = (health.probe(seen, name, Decimal(1)).series for name in ("a", "b"))
            later = f" 1x{good}" if good else ""
            return (InputSeries(up, f"1x{bad + good}"), InputSeries(down, f"0x{bad}{later}")) if bad else ()
        rest = 100 - of_each
        passing = f"0+{rest if bad else 0}x{bad} {rest * bad}+{100 if good else 0}x{good}"
        if self.bound is not None:
            durations = seen.series.of(Durations)
            le = promql.number(self.bound * durations.per_second)
            quick, every = (promql.sample_series(seen, durations, suffix="_bucket", le=bound) for bound in (le, "+Inf"))
            whole = f"0+{100 if bad else 0}x{bad} {100 * bad}+{100 if good else 0}x{good}"
            return InputSeries(quick, passing), InputSeries(every, whole)
        failed, passed = (
            error_ratio.counter(seen, failing=failing, each=Decimal(1)).series for failing in (True, False)
        )
        return (InputSeries(failed, f"0+{of_each}x{bad} {of_each * bad}x{good}"), InputSeries(passed, passing))

    def examples(self, policy: Policy, bounds: Sequence[Decimal]) -> tuple[Example, ...]:
        return ()

    def _buckets(self, policy: Policy) -> tuple[str, str]:
        seen, bound = self.of.seen(policy), self.bound or Decimal(0)
        durations = seen.series.of(Durations)
        made = histogram.every(seen, durations), histogram.quick(seen, durations, bound)
        return promql.recorded(policy, made[0].name), promql.recorded(policy, made[1].name)


class BudgetLeft(Derived):
    """From hourly means, so that 30 days are 720 samples a service."""

    suffix = "budget_left"

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        part = parts[0]
        self.bad = part if isinstance(part, Bad) else Bad(part)
        over = format_duration(self.bad.over)
        super().__init__(
            written,
            parts,
            title=f"error budget left of {self.bad.title}",
            about=f"The share of the error budget that is left of the last {over}; below 0 when more was spent.",
            unit=Unit.RATIO,
            domain=Domain(lowest=None, highest=Decimal(1)),
        )

    def own(self, policy: Policy) -> tuple[Record, ...]:
        name, over = self.bad.value(policy), promql.duration(self.bad.over)
        bad, every = self.bad.averages(policy, "1h")
        target = self.bad.target(policy)
        # By the hour, and summed hourly: a month of raw samples is more than Prometheus reads in one evaluation.
        hourly = (
            Record(f"{name}_bad_avg1h", bad, f"bad ones of {self.bad.title}, the mean of an hour", Group.BASELINES),
            Record(f"{name}_all_avg1h", every, f"all of {self.bad.title}, the mean of an hour", Group.BASELINES),
        )
        sums = [f"sum_over_time({promql.recorded(policy, record.name)}[{over}:1h])" for record in hourly]
        budget = promql.number(1 - target.value)
        left = f"1\n-\n{sums[0]}\n/\n({sums[1]} > 0)\n/\n{budget}"
        return (
            *hourly,
            Record(self.value(policy), left, f"the share of the budget of {target} that is left", self.group),
        )

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        """Two hours that are as bad as the budget allows, and half as bad, from raw series."""
        value, window = self.value(policy), policy.window
        budget = 1 - self.bad.target(policy).value
        share = Decimal("0.5") if self.bad.is_probed else Decimal("0.02")
        wanted = (1 - share / budget).quantize(Decimal("0.000001"))
        every = window if self.bad.is_probed else window / 4 // promql.SECOND * promql.SECOND
        samples = 3 * HOUR // every
        of_each = int(share * 100)
        # The subquery looks at whole hours: from the second on the mean of an hour is there.
        return (
            self.example(
                policy,
                f"{of_each} in 100 are bad",
                [],
                {value: str(wanted)},
                at=3 * HOUR,
                every=every,
                more=self.bad.failing(policy, samples + 9, 0, of_each),
            ),
            self.example(policy, "nothing is counted", [], {value: None}, at=3 * HOUR, every=every),
        )


def signals(objectives: Mapping[str, Objective]) -> dict[str, Signal]:
    """What each objective counts as bad, by the objective's name."""
    of = {error_ratio.SIGNAL.name: error_ratio.SIGNAL, availability.SIGNAL.name: availability.SIGNAL}
    return {
        name: Bad(
            of_alert(of.get(objective.of, latency.P99), objective, name.title().replace("_", "")), name, objective
        )
        for name, objective in objectives.items()
    }


def expanded(policy: Policy) -> Policy:
    """The policy with the alerts of its objectives, and what is left of their budgets recorded."""
    # As if they stood in the policy: every check, test and dashboard of an alert then holds for them too.
    made = [alert for name, objective in policy.objectives.items() for alert in _alerts(name, objective)]
    left = tuple(f"budget_left({name})" for name in policy.objectives)
    return policy.model_copy(update={"alerts": (*policy.alerts, *made), "observe": (*policy.observe, *left)})


def alert_names(name: str) -> tuple[str, str]:
    """The names of an objective's alerts: the one that pages, and the one that files a ticket."""
    camel = name.title().replace("_", "")
    return f"{camel}BudgetPage", f"{camel}BudgetTicket"


def _alerts(name: str, objective: Objective) -> Iterator[Alert]:
    page, ticket = alert_names(name)
    if objective.page is not None:
        usual = {"severity": "critical", "when": _when(name, PAGE), "summary": _spends(name, "fast")}
        yield _alert(page, objective, objective.page, usual)
    if objective.ticket is not None:
        usual = {"severity": "medium", "when": _when(name, TICKET), "summary": _spends(name, "steadily")}
        yield _alert(ticket, objective, objective.ticket, usual)


def _when(name: str, pairs: Sequence[tuple[str, str]]) -> str:
    return " or ".join(f"burn_rate({name}, {window}) > {factor}" for window, factor in pairs)


def _spends(name: str, how: str) -> str:
    return f"{{service}} in {{environment}} spends the error budget of {name} {how}"


def _alert(name: str, objective: Objective, wording: Told, usual: Mapping[str, str]) -> Alert:
    given: dict[str, Any] = {
        **usual,
        **wording.model_dump(exclude_none=True),
        "alert": name,
        "source": objective.source,
    }
    impact = f"The objective is {objective.target} over {format_duration(objective.over)}."
    return Alert.model_validate({**given, "impact": impact})
