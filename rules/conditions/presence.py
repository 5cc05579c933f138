"""present: 1 while a signal has a value, 0 once it is gone, or where it never was for a service that is named.

`missing(throughput)` in a policy is short for `present(throughput) == 0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import product

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.quantity import Unit
from deploywatch.rules import promql
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.conditions.derived import DAY, Derived
from deploywatch.rules.policy import Policy
from deploywatch.rules.signals.signal import YES_NO, Example, Record, Signal

REMEMBERED = DAY
"""How long a service that has gone is asked for, when the policy does not name it."""


class Present(Derived):
    """By service; of several values for one, any will do."""

    suffix = "present"

    def __init__(self, written: str, parts: Sequence[Signal], _: Sequence[timedelta]) -> None:
        of = parts[0].title
        about = f"1 while {of} has a value, 0 once it is gone, or where it never was for a service that is named."
        super().__init__(written, parts, title=f"presence of {of}", about=about, unit=Unit.COUNT, domain=YES_NO)
        self.labels = ()

    def own(self, policy: Policy) -> tuple[Record, ...]:
        by = f"by ({SERVICE}, {ENVIRONMENT}, {AlertLabel.POLICY})"
        earlier = f"group {by} (last_over_time({self.now(policy)}[{promql.duration(REMEMBERED)}]))"
        gone = f"({earlier} unless {ON} {self.now(policy)}) * 0"
        never = [
            f"absent({promql.recorded(policy, self.of.value(policy), matchers)}) * 0" for matchers in named(policy)
        ]
        expression = "\nor\n".join((f"group {by} ({self.now(policy)})", gone, *never))
        return (Record(self.value(policy), expression, self.about, self.group),)

    def examples(self, policy: Policy, bounds: Sequence[object]) -> tuple[Example, ...]:
        value, samples = self.value(policy), timedelta(minutes=10) // policy.interval
        at = timedelta(minutes=8)
        never = "0" if named(policy) else None
        return (
            self.example(policy, "it is there, and 0", f"0x{samples}", {value: "1"}, at=at),
            self.example(policy, "it was there, and has gone", "1x2 stale", {value: "0"}, at=at),
            self.example(policy, "it never was there", "_x5", {value: never}, at=at),
        )


def named(policy: Policy) -> list[list[promql.Matcher]]:
    """Every service and environment that the policy names; none where it has only a pattern for one of them."""
    chosen = [policy.selectors.get(label) for label in (SERVICE, ENVIRONMENT)]
    values = [selector.values if selector is not None else () for selector in chosen]
    return [[(SERVICE, "=", service), (ENVIRONMENT, "=", environment)] for service, environment in product(*values)]
