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


def dashboard_url(policy: Policy, labels: Mapping[str, str] | None = None) -> str | None:
    """The dashboard for the alert's own service; with `labels` for theirs, else as a Prometheus template."""
    if policy.links.grafana is None:
        return None
    chosen = (
        f"var-{name}={quote_plus(labels[name]) if labels else f'{{{{ $labels.{name} | urlquery }}}}'}"
        for name in (SERVICE, ENVIRONMENT)
    )
    return f"{policy.links.grafana}/d/{dashboard_uid(policy)}?{'&'.join(chosen)}"
