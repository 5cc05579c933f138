"""Inhibition: what is silent in Alertmanager while something at least as bad fires, so that nobody is left untold.

Nothing silences what is critical or asks for a rollback, and what silences others is never silenced itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.rules.policy import Policy

DEPENDENCY_FAILURE = "dependency_failure"
"""The incident type of an alert that says that what a service depends on is down."""
SAME = [SERVICE, ENVIRONMENT]
"""An alert inhibits only those of its own service and environment; they are grouped by these too."""

_SEVERITIES = ("critical", "high", "medium", "low")
_NO_ROLLBACK = f'{AlertLabel.ACTION}!="rollback"'


def inhibitions(policy: Policy) -> Iterator[dict[str, Any]]:
    """What is silent while something at least as bad of the same service and environment fires.

    Alertmanager lets an inhibited alert inhibit others, so a source that could itself be inhibited, or wait for office
    hours, would leave nobody told. Hence no target is critical, asks for a rollback, or is the source of another rule;
    and no source mutes what is worse than itself.
    """
    failed = f'{AlertLabel.INCIDENT_TYPE}="{DEPENDENCY_FAILURE}"'
    yield from _mutes(policy, "critical", ("medium", "low"))
    present = {alert.severity for alert in policy.alerts if alert.incident_type == DEPENDENCY_FAILURE}
    for severity in _SEVERITIES:
        if severity in present and severity not in held(policy):
            # The source bears the victim's name: Prometheus has joined it with what the victim depends on.
            yield from _mutes(policy, severity, _no_worse(severity), failed)


def _mutes(policy: Policy, severity: str, targets: Sequence[str], *source: str) -> Iterator[dict[str, Any]]:
    """A rule for each severity of the targets.

    One that names them all by a regular expression would do the same, but amlint, which looks for rules that mute one
    another, compares equalities only.
    """
    for target in targets:
        yield {
            "source_matchers": [matches(policy), *source, f'{AlertLabel.SEVERITY}="{severity}"'],
            "target_matchers": [
                matches(policy),
                f'{AlertLabel.SEVERITY}="{target}"',
                f'{AlertLabel.INCIDENT_TYPE}!="{DEPENDENCY_FAILURE}"',
                # What asks for an action is never muted: nobody would do it.
                _NO_ROLLBACK,
            ],
            "equal": SAME,
        }


def _no_worse(severity: str) -> list[str]:
    """The severities that an alert of this one may inhibit; critical is never one of them."""
    return [other for other in _SEVERITIES[_SEVERITIES.index(severity) :] if other != "critical"]


def held(policy: Policy) -> tuple[str, ...]:
    """The severities whose alerts wait for office hours."""
    hours = policy.receiver.office_hours if policy.receiver is not None else None
    return hours.holds if hours is not None else ()


def matches(policy: Policy) -> str:
    """The matcher of the policy's alerts."""
    return f'{AlertLabel.POLICY}="{policy.policy}"'
