"""What the benchmark of rules evaluates: ten alerts as a policy gives them, and as people write them by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from deploywatch.rules.build import rule_files
from deploywatch.rules.loading import load
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve

SERVICES = tuple(f"service-{number:04}" for number in range(1000))

INTERVAL = 30
"""Seconds between two evaluations, as usual."""
SCRAPE, WINDOW = 6, 60
"""Seconds: scrapes come five times as often as the usual 30 s, over a window a fifth of the usual 5 m.

A window then holds as many samples, so that an evaluation costs the same, and fills in a minute.
"""

BUCKETS = ("0.05", "0.1", "0.25", "0.5", "1", "2", "5", "10")

ALERTS = {
    "ErrorsElevated": "error_ratio > 0.5%",
    "ErrorsHigh": "error_ratio > 1%",
    "ErrorsCritical": "error_ratio > 5%",
    "LatencyElevated": "latency_p95 > 500ms",
    "LatencyHigh": "latency_p95 > 1s",
    "LatencyCritical": "latency_p95 > 2s",
    "AvailabilityLow": "availability < 99.5%",
    "AvailabilityCritical": "availability < 99%",
    "ServiceDown": "service_up == 0",
    "ProbeFails": "health == 0",
}

_POLICY = f"""
policy: bench
about: Ten alerts.
sources: {{bench: {{title: The benchmark}}}}
series:
  requests: {{metric: http_requests_total}}
  durations: {{metric: http_request_duration_seconds, buckets: [{", ".join(f"{bound}s" for bound in BUCKETS)}]}}
selectors:
  service: {{pattern: service-.*, such_as: service-0001}}
interval: {INTERVAL}s
window: {WINDOW}s
receiver: {{url: "http://127.0.0.1:9872/webhook/alertmanager"}}
alerts:
"""
_ALERT = """
  - alert: {name}
    when: "{when}"
    for: 30s
    severity: high
    incident_type: sample
    summary: "{{service}} in {{environment}}"
    source: {{bench: Sample}}
"""


def policy() -> Policy:
    """One policy over all services, told apart by a label."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yml"
        path.write_text(_POLICY + "".join(_ALERT.format(name=name, when=when) for name, when in ALERTS.items()))
        return load(path, variables={})


def policies() -> Iterator[Policy]:
    """A policy a service, with a selector of its own."""
    policy_ = policy()
    for service in SERVICES:
        own = replace(policy_.selectors["service"], values=(service,), pattern=service, sample=service)
        yield policy_.model_copy(update={"policy": service, "selectors": {"service": own}})


def generated(some: Iterable[Policy], folder: Path) -> None:
    """Write the rules of these policies, as `rules build` gives them."""
    for rule in some:
        for name, text in rule_files(resolve(rule)):
            (folder / Path(name).name).write_text(text)


def by_hand(selectors: Iterable[str], folder: Path) -> None:
    """Write the same alerts, each with its whole expression; a group a selector."""
    for number, selector in enumerate(selectors):
        lines = ["groups:", f"  - name: by-hand-{number}", f"    interval: {INTERVAL}s", "    rules:"]
        for name, expression in zip(ALERTS, _expressions(selector), strict=True):
            lines += [f"      - alert: {name}", f"        expr: '{expression}'", "        for: 30s"]
            lines += ["        labels: {severity: high}"]
        (folder / f"by-hand-{number}.yml").write_text("\n".join(lines) + "\n")


def _expressions(selector: str) -> Iterator[str]:
    """The conditions of `ALERTS`, as the documentation of Prometheus teaches to write them."""
    where, window = "by (service, environment)", f"[{WINDOW}s]"
    every = f"sum {where} (rate(http_requests_total{{{selector}}}{window}))"
    failed = f'sum {where} (rate(http_requests_total{{{selector},status=~"5.."}}{window}))'
    buckets = f"rate(http_request_duration_seconds_bucket{{{selector}}}{window})"
    good = f"sum {where} (sum_over_time(probe_success{{{selector}}}{window}))"
    runs = f"sum {where} (count_over_time(probe_success{{{selector}}}{window}))"
    yield from (f"{failed} / {every} > {limit}" for limit in ("0.005", "0.01", "0.05"))
    yield from (
        f"histogram_quantile(0.95, sum by (service, environment, le) ({buckets})) > {limit}"
        for limit in ("0.5", "1", "2")
    )
    yield from (f"{good} / {runs} < {limit}" for limit in ("0.995", "0.99"))
    yield f"max {where} (up{{{selector}}}) == 0"
    yield f"min by (service, environment, probe) (probe_success{{{selector}}}) == 0"
