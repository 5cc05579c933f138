"""Alertmanager's configuration: routes by action and severity to the policy's receiver, and what silences what.

An alert that asks for a rollback is sent at once, waits for no office hours, and no other alert silences it. Nothing
silences what is critical, and what silences others is never silenced itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from deploywatch.conventions import AlertLabel
from deploywatch.rules import promql
from deploywatch.rules.outputs.inhibition import SAME, held, inhibitions, matches
from deploywatch.rules.policy import OfficeHours, Policy, Receiver

WATCHDOG = "Watchdog"
"""The name of the alert that always fires, here as in kube-prometheus-stack and in the receiver's settings."""
WATCHDOG_REPEATED = timedelta(minutes=2)
"""The receiver waits 15 minutes, so that six beats may be lost, as while Alertmanager restarts, before it says so."""

_ROLLBACK = f'{AlertLabel.ACTION}="rollback"'
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
        "inhibit_rules": [rule for policy, _ in routed for rule in inhibitions(policy)],
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
        # Its first beat after a restart must not wait.
        "group_wait": "0s",
        "group_interval": beat,
        "repeat_interval": beat,
    }


def receiver_name(policy: Policy) -> str:
    """What Alertmanager calls the policy's receiver."""
    return f"deploywatch-{policy.policy}"


def _route(policy: Policy, receiver: Receiver) -> dict[str, Any]:
    """The policy's alerts: those that ask for a rollback first, then by severity."""
    # Before severity, whose first match would take it: a rollback waits for no group to fill.
    at_once = {"matchers": [_ROLLBACK], "group_wait": "0s"}
    return {
        "matchers": [matches(policy)],
        **_timing(policy, receiver),
        "routes": [at_once, *(_of_severity(policy, receiver, severity) for severity in _PATIENCE)],
    }


def _of_severity(policy: Policy, receiver: Receiver, severity: str) -> dict[str, Any]:
    repeat = promql.duration(receiver.repeat_interval * _PATIENCE[severity])
    # Held by Alertmanager, which sends when the hours begin; critical is never among the held.
    hours = {"active_time_intervals": [_hours_name(policy)]} if severity in held(policy) else {}
    return {"matchers": [f'{AlertLabel.SEVERITY}="{severity}"'], "repeat_interval": repeat, **hours}


def _timing(policy: Policy, receiver: Receiver) -> dict[str, Any]:
    return {
        "receiver": receiver_name(policy),
        "group_by": SAME,
        "group_wait": promql.duration(receiver.group_wait),
        "group_interval": promql.duration(receiver.group_interval),
        "repeat_interval": promql.duration(receiver.repeat_interval),
    }


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
