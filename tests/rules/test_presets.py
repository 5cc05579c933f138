"""Each preset reads the series as they really are: well, nothing fires; sick, what must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.loading import load
from deploywatch.rules.policy import Policy
from deploywatch.rules.presets import PRESETS
from deploywatch.rules.resolve import resolve
from tests.rules.tools import policy_from
from tests.support.world.film import Piece, Track
from tests.support.world.play import Look, Run, play

PAGE = (Path(__file__).parents[2] / "docs" / "rules" / "presets.md").read_text()
_ALERT = """
  - alert: {name}
    when: "{when}"
    for: 2m
    severity: high
    incident_type: sample
    summary: "{{service}} in {{environment}}: {{value}}"
    source: {{ours: Sample}}
"""
HTTP = {"Errors": "error_ratio > 1%", "Slow": "latency_p95 > {slow}"}
_MINUTES = 20

WELL_OR_SICK = {
    "ingress-nginx": (
        HTTP,
        "2500ms",
        'nginx_ingress_controller_requests{exported_service="shop",exported_namespace="production",status="%s"}',
        (
            'nginx_ingress_controller_request_duration_seconds_bucket{exported_service="shop",'
            'exported_namespace="production",status="200",le="%s"}'
        ),
        ("2.5", "+Inf"),
    ),
    "traefik": (
        HTTP,
        "1200ms",
        'traefik_service_requests_total{exported_service="shop@kubernetes",namespace="production",code="%s"}',
        (
            'traefik_service_request_duration_seconds_bucket{exported_service="shop@kubernetes",namespace="production",'
            'code="200",le="%s"}'
        ),
        ("1.2", "+Inf"),
    ),
    "istio": (
        HTTP,
        "1s",
        (
            'istio_requests_total{destination_service_name="shop",destination_service_namespace="production",'
            'reporter="destination",response_code="%s"}'
        ),
        (
            'istio_request_duration_milliseconds_bucket{destination_service_name="shop",'
            'destination_service_namespace="production",reporter="destination",le="%s"}'
        ),
        ("1000", "+Inf"),
    ),
    "otel": (
        HTTP,
        "1s",
        (
            'http_server_request_duration_seconds_count{service_name="shop",deployment_environment_name="production",'
            'http_response_status_code="%s"}'
        ),
        (
            'http_server_request_duration_seconds_bucket{service_name="shop",deployment_environment_name="production",'
            'http_response_status_code="200",le="%s"}'
        ),
        ("1.0", "+Inf"),
    ),
}


def _policy(preset: str, alerts: dict[str, str], folder: Path) -> Policy:
    every = "".join(_ALERT.format(name=name, when=when) for name, when in alerts.items())
    head = f"policy: mine\nabout: X.\nsources: {{ours: {{title: X}}}}\npreset: {preset}\nalerts:"
    return policy_from(head + every, folder)


def _growing(series: str, each: float) -> Track:
    return Track(series, [Piece(2 * _MINUTES + 1, 0.0, each)])


def _played(policy: Policy, tracks: list[Track], firing: set[str]) -> str:
    run = Run("preset", tracks, 30, [Look(60 * (_MINUTES - 1), frozenset(firing))])
    return play(resolve(policy), [run], every=30)


@pytest.mark.parametrize("preset", WELL_OR_SICK)
def test_errors_and_slowness_are_seen_in_the_proxys_own_series(preset: str, tmp_path: Path) -> None:
    alerts, slow, requests, buckets, (bound, every) = WELL_OR_SICK[preset]
    policy = _policy(preset, {name: when.format(slow=slow) for name, when in alerts.items()}, tmp_path)
    for bad, late, firing in ((0, 0, set()), (5, 0, {"Errors"}), (0, 10, {"Slow"})):
        tracks = [
            _growing(requests % "200", 100 - bad),
            _growing(requests % "503", bad),
            _growing(buckets % bound, 100 - late),
            _growing(buckets % every, 100),
        ]
        assert _played(policy, tracks, firing) == ""


def test_a_busy_container_is_seen_beside_its_pod(tmp_path: Path) -> None:
    policy = _policy("kubernetes", {"Cpu": "cpu > 80%", "Memory": "memory > 90%"}, tmp_path)
    pod = 'namespace="production",pod="shop-1"'
    for busy, taken, firing in ((0.3, 0.5, set()), (0.95, 0.5, {"Cpu"}), (0.3, 0.95, {"Memory"})):
        cpu = f"container_cpu_usage_seconds_total{{{pod},container=%s}}"
        tracks = [
            _growing(cpu % '"shop"', 30 * busy),
            _growing(cpu % '"POD"', 0.001),
            _growing(f"container_cpu_usage_seconds_total{{{pod}}}", 30 * 2.5),
            Track(
                f'container_memory_working_set_bytes{{{pod},container="shop"}}', [Piece(2 * _MINUTES + 1, 1e9 * taken)]
            ),
            Track(f'container_spec_memory_limit_bytes{{{pod},container="shop"}}', [Piece(2 * _MINUTES + 1, 1e9)]),
        ]
        assert _played(policy, tracks, firing) == ""


def test_what_the_policy_says_itself_wins(tmp_path: Path) -> None:
    text = "policy: mine\nabout: X.\nsources: {ours: {title: X}}\npreset: [kubernetes, istio]\n"
    text += "series: {requests: {labels: {service: app}}}\nalerts:"
    policy = policy_from(text + _ALERT.format(name="Errors", when="error_ratio > 1%"), tmp_path)
    assert policy.series.requests is not None
    assert policy.series.requests.metric == "istio_requests_total"
    assert policy.series.requests.labels.service == "app"
    assert policy.series.requests.labels.environment == "destination_service_namespace"
    assert policy.series.cpu.metric == "container_cpu_usage_seconds_total"


def test_a_preset_that_is_none_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown preset 'istoi'; did you mean 'istio'"):
        _policy("istoi", {"Errors": "error_ratio > 1%"}, tmp_path)


def test_the_page_names_each_preset_and_its_example_loads(tmp_path: Path) -> None:
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE)) == set(PRESETS)
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "shop.yml"
    path.write_text(example)
    assert len(load(path, variables={}).alerts) == 2
