"""present, remains: 1 while a signal is measured, 0 once it is gone; present also where it never was.

`missing(throughput)` in a policy is short for `present(throughput) == 0`, `gone(revenue)` for `remains(revenue) == 0`.
Not every service of a policy has revenue, but one that had should go on having it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import product

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.conditions.derived import DAY, Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import YES_NO, Example, InputSeries, Record, Signal

# After that nobody waits for it any more: a service that was taken away must not alert for ever.
REMEMBERED = DAY
"""How long a service that has gone is asked for, when the policy does not name it."""


class Remains(Derived):
    """By service; of several values for one, any will do. What never was has no value."""

    suffix = "remains"
    how = "1 while {of} has a value, 0 for a day once it is gone; none where it never was."

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        of = parts[0].title
        title = f"presence of {of}"
        super().__init__(written, parts, title=title, about=self.how.format(of=of), unit=Unit.COUNT, domain=YES_NO)
        self.labels = ()

    def own(self, policy: Policy) -> tuple[Record, ...]:
        record, matchers = self.of.there(policy)
        now = promql.recorded(policy, record, matchers)
        by = f"by ({SERVICE}, {ENVIRONMENT}, {AlertLabel.POLICY})"
        earlier = f"group {by} (last_over_time({now}[{promql.duration(REMEMBERED)}]))"
        gone = f"({earlier} unless {ON} {now}) * 0"
        expression = "\nor\n".join((f"group {by} ({now})", gone, *self.never(policy)))
        return (Record(self.value(policy), expression, self.about, self.group),)

    def never(self, policy: Policy) -> list[str]:
        """PromQL: 0 for what never was there, where that is asked."""
        return []

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value, samples = self.value(policy), timedelta(minutes=10) // policy.interval
        at = timedelta(minutes=8)
        never = Decimal(0) if self.never(policy) else None
        record, matchers = self.of.there(policy)
        labels = {**promql.sample_labels(policy), **dict.fromkeys(self.of.labels, "sample")}
        series = promql.recorded(policy, record, [*((name, "=", text) for name, text in labels.items()), *matchers])
        tried = (
            ("it is there, and 0", f"0x{samples}", Decimal(1)),
            ("it was there, and has gone", "1x2 stale", Decimal(0)),
            ("it never was there", "_x5", never),
        )
        return tuple(
            Example(name, (InputSeries(series, values),), {value: wanted}, at=at) for name, values, wanted in tried
        )


class Present(Remains):
    """The same, and 0 where it never was for a service that is named."""

    suffix = "present"
    how = "1 while {of} has a value, 0 once it is gone, or where it never was for a service that is named."

    def never(self, policy: Policy) -> list[str]:
        record, matchers = self.of.there(policy)
        # Only where the policy names services: of "any service" nobody can say which one lacks.
        return [f"absent({promql.recorded(policy, record, [*matchers, *service])}) * 0" for service in named(policy)]


def named(policy: Policy) -> list[list[promql.Matcher]]:
    """Every service and environment that the policy names; none where it has only a pattern for one of them."""
    chosen = [policy.selectors.get(label) for label in (SERVICE, ENVIRONMENT)]
    values = [selector.values if selector is not None else () for selector in chosen]
    return [[(SERVICE, "=", service), (ENVIRONMENT, "=", environment)] for service, environment in product(*values)]
