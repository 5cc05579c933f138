"""The policy of a shop, as tests of deployments need it: each gives what it is about, the rest is the same in all."""

from __future__ import annotations

from pathlib import Path

from deploywatch.rules.loading import load
from deploywatch.rules.outputs import verification_plan
from deploywatch.rules.resolve import resolve
from deploywatch.verdict.plan import Plan, written


def shop(
    own: str, *, control: str = "", fires: str = "error_ratio > 1%", wait: str = "2m", action: str = "rollback"
) -> str:
    """The text of a policy with these keys of its `own`, such as `stages` and `verdict`.

    `control` says how the series tell the versions apart; its one alert fires after `wait` of what `fires` says.
    """
    requests = f"{{metric: http_requests_total{f', control: {control}' if control else ''}}}"
    return f"""
policy: shop
about: The shop.
sources:
  ours: {{title: Chosen for tests}}
series:
  requests: {requests}
receiver: {{url: "http://127.0.0.1:9872/webhook/alertmanager"}}
{own.strip()}
alerts:
  - alert: HighErrorRate
    when: {fires}
    for: {wait}
    severity: critical
    incident_type: deployment_failure
    action: {action}
    summary: "{{service}} fails"
    source: {{ours: Errors}}
"""


def planned(policy: str, folder: Path) -> Plan:
    """The verification plan that the policy comes to, which is written to the folder as `shop.json` too."""
    (folder / "policy.yml").write_text(policy)
    plan = verification_plan.plan(resolve(load(folder / "policy.yml", variables={})))
    assert plan is not None
    (folder / "shop.json").write_text(written(plan))
    return plan
