"""Where an alert's pages are: its runbook, and the dashboard of its policy."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus

from deploywatch.conventions import ENVIRONMENT, SERVICE
from deploywatch.rules.policy import Policy


def runbook_name(policy: Policy, alert: str) -> str:
    """The file of an alert's runbook page."""
    return f"{policy.policy}.{alert}.md"


def runbook_url(policy: Policy, alert: str) -> str | None:
    """Where the page is served, when the policy says where."""
    return f"{policy.links.runbooks}/{runbook_name(policy, alert)}" if policy.links.runbooks else None


def dashboard_uid(policy: Policy) -> str:
    """The stable identity of a policy's dashboard in Grafana."""
    return f"deploywatch-{policy.policy}"


def deployment_uid(policy: Policy) -> str:
    """That of its dashboard about a deployment; Grafana takes 40 characters, and a policy's name may have 27."""
    return f"dw-{policy.policy}-deploys"


def dashboard_url(policy: Policy, labels: Mapping[str, str] | None = None, *, uid: str = "") -> str | None:
    """The dashboard (of this uid) for the alert's own service; with `labels` for theirs, else as a template."""
    if policy.links.grafana is None:
        return None
    chosen = (
        f"var-{name}={quote_plus(labels[name]) if labels else f'{{{{ $labels.{name} | urlquery }}}}'}"
        for name in (SERVICE, ENVIRONMENT)
    )
    return f"{policy.links.grafana}/d/{uid or dashboard_uid(policy)}?{'&'.join(chosen)}"
