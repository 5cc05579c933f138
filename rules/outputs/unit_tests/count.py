"""promtool tests of count queries: births, resets, gaps, targets that go, and roles that stay apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from deploywatch.rules import promql
from deploywatch.rules.language.judgement import single
from deploywatch.rules.policy import Policy
from deploywatch.rules.series.durations import Durations
from deploywatch.rules.series.requests import Control, Requests
from deploywatch.rules.signals import counting
from deploywatch.rules.signals.counting import Role
from deploywatch.verdict.plan import Plan, filled
from deploywatch.verdict.plan_parts import Counts, Limit

Values = Sequence[int | None]
"""What was scraped, sample by sample; None where nothing was."""

LAST = 40
"""The sample at which the tests look; two of them make a look."""
NEW, OLD = "v2", "v1"
GONE = -1
"""A sample that says that the series has ended."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target as it was scraped: whether it was up, its good and its bad requests so far."""

    up: Values
    good: Values
    bad: Values | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Targets of one role, and what was added in the last look; None where there is no value. `histogram` cases are
    about buckets alone."""

    name: str
    targets: tuple[Target, ...]
    requests: int | None
    bad: int | None
    histogram: bool = False


def grows(by: int, until: int = LAST) -> list[int | None]:
    """A counter from 0 on."""
    return [by * sample for sample in range(until + 1)]


UP = [1] * (LAST + 1)
STEADY = Target(UP, grows(9), grows(1))
CASES: tuple[Case, ...] = (
    Case("9 of 10 requests are good", (STEADY,), 20, 2),
    Case("no request was ever bad", (Target(UP, grows(9)),), 18, 0),
    Case("there is no traffic", (Target(UP, [7] * (LAST + 1), [1] * (LAST + 1)),), 0, 0),
    Case("the first bad ones make a new series", (Target(UP, grows(9), [None] * LAST + [3]),), 21, 3),
    Case(
        "the counters of a target that starts again count from 0",
        (Target(UP, [*grows(9, LAST - 2), 4, 8], [*grows(1, LAST - 2), 0, 1]),),
        9,
        1,
    ),
    Case(
        "counters that start again within a look count from 0, also where they are soon beyond what they were",
        (Target(UP, [*[5] * (LAST - 1), 3, 18], [*[1] * (LAST - 1), 0, 2]),),
        20,
        2,
    ),
    Case(
        "so do those that start again after they had grown in the look",
        (Target(UP, [*[5] * (LAST - 1), 60, 18], [*[1] * (LAST - 1), 7, 2]),),
        20,
        2,
    ),
    Case(
        "all buckets of a histogram start again where one of them fell",
        (Target(UP, [*[95] * LAST, 98], [*[5] * LAST, 1]),),
        99,
        1,
        histogram=True,
    ),
    Case(
        "what came in during a scrape gap is counted once, afterwards",
        (Target(UP, [*grows(9, 30), *[None] * 8, 351, 360], [*grows(1, 30), *[None] * 8, 39, 40]),),
        100,
        10,
    ),
    Case(
        "what came in before a target went away is counted",
        (Target([*UP[:LAST], GONE], [*grows(9, LAST - 1), GONE], [*grows(1, LAST - 1), GONE]),),
        10,
        1,
    ),
    Case(
        "nobody knows how old the counters of a new target are",
        (STEADY, Target([*[None] * (LAST - 1), 1, 1], [*[None] * (LAST - 1), 5000, 5009])),
        20,
        2,
    ),
    Case("a new target alone has added nothing yet", (Target([*[None] * LAST, 1], [*[None] * LAST, 5000]),), 0, 0),
    Case("there is no series", (), None, None),
)


def tests(policy: Policy, plan: Plan) -> dict[str, Any]:
    """The file of tests, as data."""
    every = timedelta(seconds=plan.look) / 2
    entries = [
        _entry(policy, limit, role, case, every)
        for limit in _different(plan.limits)
        for role in _roles(limit)
        # The queries of every role are made alike, and differ in whom they select.
        for case in (CASES if role == "new" else CASES[:1])
        if not case.histogram or isinstance(counting.source(policy, single(limit.name)), Durations)
    ]
    return {"rule_files": [], "evaluation_interval": promql.duration(every), "tests": entries}


def _different(limits: Sequence[Limit]) -> list[Limit]:
    """One limit of those that count the same; how much is too much makes no difference to the counts."""
    return list({limit.new: limit for limit in reversed(limits)}.values())[::-1]


def _roles(limit: Limit) -> tuple[Role, ...]:
    return ("new", "old", "whole") if limit.old is not None else ("new",)


def _entry(policy: Policy, limit: Limit, role: Role, case: Case, every: timedelta) -> dict[str, Any]:
    counts = {"new": limit.new, "old": limit.old, "whole": limit.whole}[role]
    series = dict(_series(policy, limit, role, case.targets))
    if limit.old is not None and role != "whole":
        # The other role's requests, of another number, are never among these.
        other: Role = "old" if role == "new" else "new"
        series |= dict(_series(policy, limit, other, (Target(UP, grows(70), grows(30)),), first=7))
    return {
        "name": f"{limit.name}, {role}: {case.name}",
        "interval": promql.duration(every),
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": list(_expectations(policy, counts, case, every * LAST)) if counts else [],
    }


def _expectations(policy: Policy, counts: Counts, case: Case, at: timedelta) -> Iterator[dict[str, Any]]:
    values = {**promql.sample_labels(policy), "version": NEW, "previous_version": OLD}
    for query, value in ((counts.requests, case.requests), (counts.bad, case.bad)):
        yield {
            "expr": filled(query, values),
            "eval_time": promql.duration(at),
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }


def _series(
    policy: Policy, limit: Limit, role: Role, targets: Sequence[Target], *, first: int = 0
) -> Iterator[tuple[str, str]]:
    comparison = single(limit.name)
    series = counting.source(policy, comparison)
    for number, target in enumerate(targets, first):
        labels = {"job": "app", "instance": f"app-{number}", **_role_labels(series.control if series else None, role)}
        yield _written("up", {"job": "app", "instance": f"app-{number}"}), _notation(target.up)
        if isinstance(series, Requests):
            outcomes = ((series.passing, target.good), (series.failing, target.bad))
            for status, values in outcomes:
                if values is not None:
                    yield promql.sample_series(policy, series, **{series.status: status}, **labels), _notation(values)
        elif isinstance(series, Durations):
            bound = promql.number(comparison.quantity.value * series.per_second)
            for le, values in ((bound, target.good), ("+Inf", _sum(target.good, target.bad))):
                yield promql.sample_series(policy, series, suffix="_bucket", le=le, **labels), _notation(values)


def _role_labels(control: Control | None, role: Role) -> dict[str, str]:
    if control is None:
        return {}
    of_role, version = (control.old, OLD) if role == "old" else (control.new, NEW)
    return {control.label: of_role or version}


def _written(metric: str, labels: Mapping[str, str]) -> str:
    return promql.selector(metric, [(name, "=", value) for name, value in labels.items()])


def _sum(good: Values, bad: Values | None) -> list[int | None]:
    """Good and bad ones together: what a histogram's last bucket says."""
    others = bad if bad is not None else [0] * len(good)
    return [
        count if count is None or count == GONE else count + (other or 0)
        for count, other in zip(good, others, strict=True)
    ]


def _notation(values: Values) -> str:
    """Samples in promtool's expanding notation."""
    parts, at = [], 0
    while at < len(values):
        value, step = values[at], _step(values, at)
        run = at
        while (
            run + 1 < len(values)
            and step is not None
            and values[run + 1] == (None if value is None else value + step * (run + 1 - at))
        ):
            run += 1
        if value is None:
            parts.append(f"_x{run + 1 - at}")
        elif value == GONE:
            parts.append("stale")
        else:
            parts.append(f"{value}+{step}x{run - at}" if run > at else str(value))
        at = run + 1
    return " ".join(parts)


def _step(values: Values, at: int) -> int | None:
    """By how much the value grows to the next; None where that is no number."""
    value, following = values[at], values[at + 1] if at + 1 < len(values) else None
    if value is None:
        return 0
    return None if following is None or GONE in (value, following) or following < value else following - value
