"""The health of a deployment as recording rules: status by signal, weighted score with its coverage, impact, anomalies.

A signal without a value leaves its weight out. Too little weight is no score, and no score is never healthy; NaN is no
value (`x == x` leaves it out).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from math import lcm

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import promql
from deploywatch.rules.comparison import Term
from deploywatch.rules.conditions.deployments import ON
from deploywatch.rules.language.judgement import Estimate, Health
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolved import ResolvedAnomaly, ResolvedHealth, ResolvedPoints, ResolvedStatus
from deploywatch.rules.signals.signal import Group, Record

SIGNAL, KIND, STATUS, ANOMALY = "signal", "kind", "status", "anomaly"
STATUS_SCORE = f"{promql.level(SIGNAL)}:health_status:score"
WEIGHT = f"{SIGNAL}:policy_health_weight:constant"
COVERAGE = f"{promql.level()}:health:coverage_ratio"
SCORE = f"{promql.level()}:health:score"
OVERALL = f"{promql.level()}:health:status"
IMPACT = f"{promql.level()}:business_impact:score"
DEGREE = f"{promql.level(ANOMALY)}:anomaly:degree"
ANOMALIES = f"{promql.level()}:anomaly:count"
BY = f"by ({SERVICE}, {ENVIRONMENT})"


def weights(judged: ResolvedHealth) -> dict[str, int]:
    """Each signal's weight as a whole number: its kind's, divided among the signals of that kind.

    Whole numbers add up exactly, so that a coverage of everything is 1 and not a little less.
    """
    kinds = Counter(status.given.kind for status in judged.statuses)
    thousandths = {kind: int(judged.given.weights[kind].value * 1000) for kind in kinds}
    every = lcm(*kinds.values())
    return {
        status.name: thousandths[status.given.kind] * every // kinds[status.given.kind] for status in judged.statuses
    }


def records(policy: Policy, judged: ResolvedHealth) -> Iterator[Record]:
    """All of it, in order of dependency."""
    for status in judged.statuses:
        yield _status(policy, status)
    for signal, weight in weights(judged).items():
        about = f"of {sum(weights(judged).values())}"
        yield Record(WEIGHT, f"vector({weight})", about, Group.HEALTH, {SIGNAL: signal})
    yield from _score(policy, judged.given)
    yield from _overall(policy, judged.given)
    if judged.given.impact is not None:
        yield _impact(policy, judged, judged.given.impact.estimated)
    for anomaly in judged.anomalies:
        yield _degree(policy, anomaly)
    if judged.anomalies:
        degrees = promql.recorded(policy, DEGREE)
        # `or … * 0`: none of them is a 0, and not the same as not measured.
        count = f"count {BY} ({degrees} > 0)\nor\ngroup {BY} ({degrees}) * 0"
        yield Record(ANOMALIES, count, "how many signals are not as they used to be", Group.HEALTH)


def _status(policy: Policy, status: ResolvedStatus) -> Record:
    warning, critical = _beyond(policy, status.warning), _beyond(policy, status.critical)
    # The worst of several series of a service, such as its queues or probes.
    points = f"min {BY} (\n1\n- 0.5 * ({warning})\n- 0.5 * ({critical})\n)"
    about = f"1 is healthy, 0.5 is a warning ({status.given.warning}), 0 is critical ({status.given.critical})"
    return Record(STATUS_SCORE, points, about, Group.HEALTH, {SIGNAL: status.name, KIND: status.given.kind})


def _beyond(policy: Policy, term: Term) -> str:
    """1 where a comparison holds, 0 where it does not, nothing where there is no value."""
    value = promql.recorded(policy, term.reading.record)
    # `x == x` leaves out NaN, which would else compare as not beyond, and count as healthy.
    return f"({value} == {value}) {term.comparison.operator} bool {promql.constant(term.reading.threshold)}"


def _score(policy: Policy, judged: Health) -> Iterator[Record]:
    scores, weight = promql.recorded(policy, STATUS_SCORE), promql.recorded(policy, WEIGHT)
    # Weights are constants without a service, so that each joins every service's signal.
    on = f"* on ({SIGNAL}) group_left ()"
    points = f"sum {BY} ({scores} {on} {weight})"
    there = f"sum {BY} (({scores} * 0 + 1) {on} {weight})"
    coverage = f"{there}\n/ on () group_left ()\nsum({weight})"
    enough = f"{promql.recorded(policy, COVERAGE)} >= {promql.number(judged.coverage.value)}"
    yield Record(COVERAGE, coverage, "the share of the weight of which there is a value", Group.HEALTH)
    about = f"from 0 to 1, over what has a value; none below a coverage of {judged.coverage}"
    yield Record(SCORE, f"{points}\n/\n{there}\nand {ON}\n{enough}", about, Group.HEALTH)


def _overall(policy: Policy, judged: Health) -> Iterator[Record]:
    score, healthy = promql.recorded(policy, SCORE), promql.number(judged.healthy.value)
    worst = f"min {BY} ({promql.recorded(policy, STATUS_SCORE)}) == 0"
    fine = f"group {BY} ({score} >= {healthy})\nunless {ON}\n({worst})"
    poor = f"group {BY} ({score} < {healthy})\nunless {ON}\n({worst})"
    # Known by its coverage, which is there as soon as one signal has a value.
    unknown = f"group {BY} ({promql.recorded(policy, COVERAGE)})\nunless {ON}\n{score}\nunless {ON}\n({worst})"
    for state, expression, about in (
        ("critical", f"group {BY} ({worst})", "any signal is critical"),
        ("warning", poor, f"the score is below {judged.healthy}"),
        ("healthy", fine, f"the score is {judged.healthy} or more, and no signal is critical"),
        ("unknown", unknown, f"less than {judged.coverage} of the weight has a value"),
    ):
        yield Record(OVERALL, expression, about, Group.HEALTH, {STATUS: state})


def _impact(policy: Policy, judged: ResolvedHealth, estimate: Estimate) -> Record:
    measured = _added([_points(policy, points) for points in judged.impact])
    warning = promql.number(estimate.warning)
    guesses = []
    for status in judged.statuses:
        if status.given.kind != estimate.kind:
            continue
        score = promql.recorded(policy, STATUS_SCORE, [(SIGNAL, "=", status.name)])
        critical = promql.number(estimate.critical.get(status.name, Decimal(0)))
        guesses.append(f"({score} == bool 0) * {critical} + ({score} == bool 0.5) * {warning}")
    expression = f"clamp_max({measured}, 10)"
    if guesses:
        expression += f"\nor {ON}\nclamp_max({_added(guesses)}, 10)"
    about = "from 0 to 10; where no business signal has a value, estimated from the others"
    return Record(IMPACT, expression, about, Group.HEALTH)


def _points(policy: Policy, resolved: ResolvedPoints) -> str:
    value, given = promql.recorded(policy, resolved.term.reading.record), resolved.given
    points, per = promql.number(given.points), promql.number(given.per.value)
    return f"clamp(({value} == {value}) * {points} / {per}, 0, {promql.number(given.most)})"


def _added(parts: list[str]) -> str:
    """The sum of those parts that have a value."""
    # With a label each: `or` between series of the same labels would keep the first alone.
    marked = [f'label_replace({part}, "part", "{number}", "", "")' for number, part in enumerate(parts)]
    return f"sum {BY} (\n" + "\nor\n".join(marked) + "\n)"


def _degree(policy: Policy, anomaly: ResolvedAnomaly) -> Record:
    """0 for none, 1 for a medium anomaly, 2 for a high one; of several values for a service, the worst."""
    degree = " + ".join(f"({_beyond(policy, limit)})" for limit in anomaly.limits)
    high = anomaly.given.high
    about = f"1 is medium ({anomaly.given.medium})" + (f", 2 is high ({high})" if high is not None else "")
    labels = {ANOMALY: anomaly.name}
    return Record(DEGREE, f"max {BY} ({degree})", about, Group.HEALTH, labels)
