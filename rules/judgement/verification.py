"""What a policy's deployments are judged by, resolved: limits of each stage, watched conditions, what the gate asks."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules import promql
from deploywatch.rules.language.expression import Comparison
from deploywatch.rules.language.judgement import single
from deploywatch.rules.language.verification import Requirement, Verdict
from deploywatch.rules.policy import Policy, Stage
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.signals import counting
from deploywatch.rules.signals.signal import seconds
from deploywatch.verdict.plan_parts import Limit, Watch
from deploywatch.verdict.plan_parts import Requirement as Required
from deploywatch.verdict.plan_parts import Stage as PlannedStage

STAGES_LONG = 3
"""A person is asked after so many times the stage's length, where the policy does not say when."""


def limits(policy: Policy, verdict: Verdict) -> tuple[Limit, ...]:
    """Every limit of the verdict and of its stages, once."""
    # Those of all stages together: the chance to be wrong is divided among every limit that may ever be looked at.
    texts = (*verdict.fail, *(text for stage in policy.stages for text in stage.tighter))
    return tuple(_limit(policy, verdict, text) for text in dict.fromkeys(texts))


def stages(policy: Policy, verdict: Verdict) -> tuple[PlannedStage, ...]:
    """The stages, each with its limits: tighter ones take the place of the verdict's on the same signal."""
    return tuple(_stage(policy, verdict, stage) for stage in policy.stages)


def watch(policy: ResolvedPolicy, text: str) -> Watch:
    """A condition that is read from a recorded series of the service."""
    term = policy.watched[text]
    here = [(SERVICE, "=", f"${SERVICE}"), (ENVIRONMENT, "=", f"${ENVIRONMENT}")]
    return Watch(
        name=text,
        query=promql.recorded(policy.given, term.reading.record, here),
        operator=term.comparison.operator,
        threshold=float(term.reading.threshold),
    )


def gate(policy: ResolvedPolicy) -> tuple[Required, ...]:
    """What the gate asks for, one thing an entry."""
    return tuple(
        _required(policy, requirement, kind) for requirement in policy.given.gate for kind in requirement.kinds
    )


def has_control(policy: Policy, verdict: Verdict) -> bool:
    """Whether the series of the limits tell the new version from the old one."""
    return all(
        series is not None and series.control is not None
        for series in (counting.source(policy, single(text)) for text in verdict.fail)
    )


def share_slower(comparison: Comparison) -> Decimal:
    """The share of requests that may be slower than the bound: 5 % of a 95th percentile."""
    return {"latency_p95": Decimal("0.05"), "latency_p99": Decimal("0.01")}[comparison.signal]


def _limit(policy: Policy, verdict: Verdict, text: str) -> Limit:
    comparison = single(text)
    relative = comparison.function == counting.WORSE
    value = comparison.quantity.value
    if relative:
        value = 1 + value
    elif comparison.signal.startswith("latency"):
        value = share_slower(comparison)
    series, look = counting.source(policy, comparison), verdict.look
    told_apart = series is not None and series.control is not None
    return Limit(
        name=text,
        signal=comparison.signal,
        limit=float(value),
        relative=relative,
        new=counting.counts(policy, comparison, "new", look),
        old=counting.counts(policy, comparison, "old", look) if told_apart else None,
        whole=counting.counts(policy, comparison, "whole", look) if told_apart else None,
    )


def _stage(policy: Policy, verdict: Verdict, stage: Stage) -> PlannedStage:
    tighter = {single(text).signal: text for text in stage.tighter}
    alone = has_control(policy, verdict) and stage.share.value == 1
    names = [
        # By the signal: a tighter limit takes the place of the one on the same signal, and is no second one.
        tighter.get(single(text).signal, text)
        for text in verdict.fail
        # With all of the traffic on the new version there is nothing to compare it with.
        if not (alone and single(text).function == counting.WORSE)
    ]
    return PlannedStage(
        stage=stage.stage,
        strategy=stage.strategy or "",
        share=float(stage.share.value),
        lasts=_seconds(stage.lasts),
        at_most=_seconds(stage.at_most or STAGES_LONG * stage.lasts),
        limits=tuple(names),
    )


def _required(policy: ResolvedPolicy, given: Requirement, kind: str) -> Required:
    return Required(
        require=kind,
        of=given.of,
        environments=given.in_,
        level=given.level or "",
        watch=watch(policy, given.that) if given.that is not None else None,
        within=_seconds(given.within) if given.within is not None else None,
    )


def _seconds(length: timedelta) -> float:
    return float(seconds(length))
