"""The verification plan of a policy, which the receiver judges deployments by."""

from __future__ import annotations

from deploywatch.rules.judgement import assessment, verification
from deploywatch.rules.resolved import ResolvedPolicy
from deploywatch.rules.signals.signal import seconds
from deploywatch.verdict.plan import SCHEMA, Plan


def plan(resolved: ResolvedPolicy) -> Plan | None:
    """The plan; None for a policy without a verdict."""
    policy = resolved.given
    verdict = policy.verdict
    if verdict is None:
        return None
    cited = [
        f"{policy.sources[name]}: {section}" if section else str(policy.sources[name])
        for name, section in verdict.source.items()
    ]
    return Plan(
        plan=SCHEMA,
        policy=policy.policy,
        about=policy.about,
        selectors={
            name: selector.pattern for name, selector in policy.selectors.items() if name in ("service", "environment")
        },
        control=verification.has_control(policy, verdict),
        look=float(seconds(verdict.look)),
        scrape=float(seconds(policy.interval)),
        stages=verification.stages(policy, verdict),
        limits=verification.limits(policy, verdict),
        watch=tuple(verification.watch(resolved, text) for text in verdict.watch),
        gate=verification.gate(resolved),
        false_rollback=float(verdict.false_rollback.value),
        false_promotion=float(verdict.false_promotion.value),
        health=assessment.recorded(resolved),
        sources=tuple(cited),
    )
