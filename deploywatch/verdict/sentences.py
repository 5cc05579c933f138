"""A limit in words: what was counted, and what that proves."""

from __future__ import annotations

from deploywatch.verdict.values import (
    Finding,
    Stage,
)

FALSE_OF_WORSE = 0.1
"""How often a version that is worse than the control, but within a relative limit, may be rolled back all the same."""


def sentence(stage: Stage, finding: Finding) -> str:
    """One limit in words: what was counted, and what that proves."""
    text = _proof(stage, finding)
    return f"{text}; {finding.note}" if finding.note else text


def _proof(stage: Stage, finding: Finding) -> str:
    counts = finding.counts
    version = "canary" if stage.control else "new version"
    text = f"{finding.name}: {version} failed {counts.bad:,} of {counts.requests:,} requests"
    if stage.control or finding.relative:
        text += f", {stage.other} {counts.control_bad:,} of {counts.control_requests:,}"
    than = f"{finding.limit:.3g} times {stage.other}" if finding.relative else f"{100 * finding.limit:g} %"
    rarely, seldom = (f"wrong once in {1 / chance:.0f}" for chance in (stage.false_rollback, stage.false_promotion))
    if finding.bad and finding.relative:
        often = f"wrong once in {1 / FALSE_OF_WORSE:.0f}"
        return f"{text}; worse than {stage.other} proven, {rarely}, and worse than {than}, {often}"
    if finding.bad:
        return f"{text}; worse than {than} proven, {rarely}"
    if finding.good:
        return f"{text}; better than {than} proven, {seldom}"
    return f"{text}; neither worse nor better than {than} proven"
