"""Alertmanager's configuration: routes by action and severity to the policy's receiver, and what silences what.

An alert that asks for a rollback is sent at once, waits for no office hours, and no other alert silences it. Nothing
silences what is critical, and what silences others is never silenced itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from deploywatch.rules import promql
from deploywatch.rules.policy import OfficeHours, Policy, Receiver

DEPENDENCY_FAILURE = "dependency_failure"
"""The incident type of an alert that says that what a service depends on is down."""

WATCHDOG = "Watchdog"
"""The name of the alert that always fires, here as in kube-prometheus-stack and in the receiver's settings."""
WATCHDOG_REPEATED = timedelta(minutes=2)
"""The receiver waits 15 minutes, so that six beats may be lost, as while Alertmanager restarts, before it says so."""

_ROLLBACK = f'{AlertLabel.ACTION}="rollback"'
_NO_ROLLBACK = f'{AlertLabel.ACTION}!="rollback"'
_SAME = [SERVICE, ENVIRONMENT]
_PATIENCE = {"critical": 1, "high": 1, "medium": 3, "low": 6}
"""How many times longer an alert of this severity waits until it is repeated."""


def config(policies: Sequence[Policy]) -> dict[str, Any]:
    """The configuration, as data, for policies of which at least one has a receiver.

    Alerts of no policy, or of one without a receiver, go to the first receiver, so that none is lost.
    """
    routed = [(policy, policy.receiver) for policy in policies if policy.receiver is not None]
    routes = [_route(policy, receiver) for policy, receiver in routed]
    configuration: dict[str, Any] = {
        "route": _timing(*routed[0]) | {"routes": [*routes, _watchdog()]},
        "inhibit_rules": [rule for policy, _ in routed for rule in _inhibitions(policy)],
        "receivers": [_receiver(policy, receiver) for policy, receiver in routed],
    }
    intervals = [_interval(policy, receiver.office_hours) for policy, receiver in routed if receiver.office_hours]
    return configuration | ({"time_intervals": intervals} if intervals else {})


def _watchdog() -> dict[str, Any]:
    """The alert that always fires, to the receiver that listens for it (`upstream.watchdog`), often enough.

    As often as other alerts are repeated, its silence would be an incident although nothing is lost.
    """
    beat = promql.duration(WATCHDOG_REPEATED)
    return {
        "matchers": [f'alertname="{WATCHDOG}"'],
        "group_by": ["alertname"],
        "group_wait": "0s",
        "group_interval": beat,
        "repeat_interval": beat,
    }


def receiver_name(policy: Policy) -> str:
    """What Alertmanager calls the policy's receiver."""
    return f"deploywatch-{policy.policy}"


def _route(policy: Policy, receiver: Receiver) -> dict[str, Any]:
    """The policy's alerts: those that ask for a rollback first, then by severity."""
    at_once = {"matchers": [_ROLLBACK], "group_wait": "0s"}
    return {
        "matchers": [_is(policy)],
        **_timing(policy, receiver),
        "routes": [at_once, *(_of_severity(policy, receiver, severity) for severity in _PATIENCE)],
    }


def _of_severity(policy: Policy, receiver: Receiver, severity: str) -> dict[str, Any]:
    repeat = promql.duration(receiver.repeat_interval * _PATIENCE[severity])
    held = {"active_time_intervals": [_hours_name(policy)]} if severity in _held(policy) else {}
    return {"matchers": [f'{AlertLabel.SEVERITY}="{severity}"'], "repeat_interval": repeat, **held}


def _timing(policy: Policy, receiver: Receiver) -> dict[str, Any]:
    return {
        "receiver": receiver_name(policy),
        "group_by": _SAME,
        "group_wait": promql.duration(receiver.group_wait),
        "group_interval": promql.duration(receiver.group_interval),
        "repeat_interval": promql.duration(receiver.repeat_interval),
    }


def _inhibitions(policy: Policy) -> Iterator[dict[str, Any]]:
    """What is silent while something at least as bad of the same service and environment fires.

    Alertmanager lets an inhibited alert inhibit others, so a source that could itself be inhibited, or wait for office
    hours, would leave nobody told. Hence no target is critical, asks for a rollback, or is the source of another rule;
    and no source mutes what is worse than itself.
    """
    failed = f'{AlertLabel.INCIDENT_TYPE}="{DEPENDENCY_FAILURE}"'
    yield from _mutes(policy, "critical", ("medium", "low"))
    present = {alert.severity for alert in policy.alerts if alert.incident_type == DEPENDENCY_FAILURE}
    for severity in _PATIENCE:
        if severity in present and severity not in _held(policy):
            # The source bears the victim's name: Prometheus has joined it with what the victim depends on.
            yield from _mutes(policy, severity, _no_worse(severity), failed)


def _mutes(policy: Policy, severity: str, targets: Sequence[str], *source: str) -> Iterator[dict[str, Any]]:
    """A rule for each severity of the targets.

    One that names them all by a regular expression would do the same, but amlint, which looks for rules that mute one
    another, compares equalities only.
    """
    for target in targets:
        yield {
            "source_matchers": [_is(policy), *source, f'{AlertLabel.SEVERITY}="{severity}"'],
            "target_matchers": [
                _is(policy),
                f'{AlertLabel.SEVERITY}="{target}"',
                f'{AlertLabel.INCIDENT_TYPE}!="{DEPENDENCY_FAILURE}"',
                _NO_ROLLBACK,
            ],
            "equal": _SAME,
        }


def _no_worse(severity: str) -> list[str]:
    """The severities that an alert of this one may inhibit; critical is never one of them."""
    every = list(_PATIENCE)
    return [other for other in every[every.index(severity) :] if other != "critical"]


def _held(policy: Policy) -> tuple[str, ...]:
    """The severities whose alerts wait for office hours."""
    hours = policy.receiver.office_hours if policy.receiver is not None else None
    return hours.holds if hours is not None else ()


def _is(policy: Policy) -> str:
    return f'{AlertLabel.POLICY}="{policy.policy}"'


def _hours_name(policy: Policy) -> str:
    return f"office-hours-{policy.policy}"


def _interval(policy: Policy, hours: OfficeHours) -> dict[str, Any]:
    times = {"times": [{"start_time": hours.start, "end_time": hours.end}], "weekdays": [hours.days]}
    return {"name": _hours_name(policy), "time_intervals": [{**times, "location": hours.location}]}


def _receiver(policy: Policy, receiver: Receiver) -> dict[str, Any]:
    # max_alerts 0 is no limit: an alert that is cut off would never reach the incident.
    webhook: dict[str, Any] = {"url": receiver.url, "send_resolved": True, "max_alerts": 0}
    if receiver.token_file is not None:
        authorization = {"type": "Bearer", "credentials_file": receiver.token_file}
        webhook["http_config"] = {"authorization": authorization}
    return {"name": receiver_name(policy), "webhook_configs": [webhook]}
