"""Alertmanager's configuration: every alert of a policy goes to its receiver, grouped by service and environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploywatch.conventions import ENVIRONMENT, SERVICE, AlertLabel
from rules import promql
from rules.policy import Policy


def config(policies: Sequence[Policy]) -> dict[str, Any]:
    """The configuration, as data; alerts of no policy go to the first policy's receiver, so that none is lost."""
    return {
        "route": _timing(policies[0]) | {"routes": [_route(policy) for policy in policies]},
        "receivers": [_receiver(policy) for policy in policies],
    }


def receiver_name(policy: Policy) -> str:
    """What Alertmanager calls the policy's receiver."""
    return f"deploywatch-{policy.policy}"


def _route(policy: Policy) -> dict[str, Any]:
    return {"matchers": [f'{AlertLabel.POLICY}="{policy.policy}"']} | _timing(policy)


def _timing(policy: Policy) -> dict[str, Any]:
    return {
        "receiver": receiver_name(policy),
        "group_by": [SERVICE, ENVIRONMENT],
        "group_wait": promql.duration(policy.receiver.group_wait),
        "group_interval": promql.duration(policy.receiver.group_interval),
        "repeat_interval": promql.duration(policy.receiver.repeat_interval),
    }


def _receiver(policy: Policy) -> dict[str, Any]:
    # max_alerts 0 is no limit: an alert that is cut off would never reach the incident.
    webhook: dict[str, Any] = {"url": policy.receiver.url, "send_resolved": True, "max_alerts": 0}
    if policy.receiver.token_file is not None:
        authorization = {"type": "Bearer", "credentials_file": policy.receiver.token_file}
        webhook["http_config"] = {"authorization": authorization}
    return {"name": receiver_name(policy), "webhook_configs": [webhook]}
