"""Each preset reads the series as they really are: well, nothing fires; sick, what must."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.quantity import Quantity, Unit
from deploywatch.rules.build import build, write
from deploywatch.rules.policy import Policy
from deploywatch.rules.presets import PRESETS
from deploywatch.rules.requirements import unmet
from deploywatch.rules.resolve import resolve
from tests.rules.tools import policy_from, promtool_test, run
from tests.support.world.film import Track
from tests.support.world.play import Look, Run, play
from tests.support.world.software import CLIENTS, OTHERS, SERVERS, Pods, Traffic, pods, requests

PAGES = Path(__file__).parents[2] / "docs" / "rules" / "presets"
_ALERT = """
  - alert: {name}
    when: "{when}"
    for: 2m
    severity: high
    incident_type: sample
    summary: "{{service}} in {{environment}}: {{value}}"
    source: {{ours: Sample}}
"""
_FAULT, _SAMPLES = 40, 80
"""Half a minute apart: 20 minutes all is well, and then as long it is not."""

HTTP = (
    ("HighErrorRate", Traffic(failing=0.05)),
    ("HighErrorRate", Traffic(born_bad=60)),
    ("HighLatency", Traffic(slow=0.1)),
    ("MetricsMissing", Traffic(gone=True)),
)
MORE = {"micrometer": (("RequestHung", Traffic(longest=12.0)),)}
"""What only some of them expose."""
KUBERNETES = (
    ("ServiceDown", Pods(down=2)),
    ("TargetDown", Pods(down=1)),
    ("HighCpu", Pods(cpu=0.95)),
    ("HighMemory", Pods(memory=0.95)),
    ("Restarting", Pods(restarts=0.5)),
    ("ReplicasMissing", Pods(available=1)),
)


def _other(name: str, folder: Path) -> Policy:
    """The policy for Go on the page of client libraries, with the series of another library in place of Go's."""
    blocks = re.findall(r"```yaml\n(.*?)```", (PAGES.parent / "clients.md").read_text(), re.DOTALL)
    (text,) = [block for block in blocks if "policy: go-shop\n" in block]
    (own,) = [block.removeprefix(f"# {name}\n") for block in blocks if block.startswith(f"# {name}\n")]
    text = re.sub(r"  requests:.*?(?=  targets:)", textwrap.indent(own, "  "), text, flags=re.DOTALL)
    bound = Quantity(Decimal(OTHERS[name].slow), Unit.SECONDS)
    return policy_from(text.replace("latency_p95 > 1s", f"latency_p95 > {bound}"), folder)


def _example(preset: str, folder: Path) -> Policy:
    """The policy on the preset's page, or of that name on the page of client libraries."""
    if preset in OTHERS:
        return _other(preset, folder)
    page = (PAGES.parent / "clients.md" if preset in CLIENTS else PAGES / f"{preset}.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (example,) = [one for one in examples if preset not in CLIENTS or f"policy: {preset}\n" in one]
    return policy_from(example, folder)


def _faults(preset: str) -> tuple[tuple[str, Traffic], ...]:
    return (*HTTP, *MORE.get(preset, ()))


def _runs(faults: Sequence[tuple[str, list[Track]]], well: list[Track], window: int) -> Iterator[Run]:
    """Well, nothing fires in 40 minutes; sick, what must fires within its window and wait, and nothing before it."""
    begins = 30 * _FAULT
    every = [Look(minute * 60, frozenset()) for minute in range(2, _SAMPLES // 2, 2)]
    yield Run("all is well", well, 30, every)
    for number, (alert, tracks) in enumerate(faults):
        looks = (Look(begins - 30), Look(begins + window, frozenset({alert}), of=alert, ever=window))
        yield Run(f"{number}: {alert}", tracks, 30, looks)


def _needs_newer_promtool(policy: Policy) -> bool:
    ran = run("promtool", "--version")
    return unmet(policy, ran.stdout + ran.stderr) is not None


@pytest.mark.parametrize("preset", [*SERVERS, *CLIENTS, *OTHERS])
def test_a_proxys_or_servers_own_series_are_well_or_sick(preset: str, tmp_path: Path) -> None:
    policy, server = _example(preset, tmp_path), {**SERVERS, **CLIENTS, **OTHERS}[preset]
    assert {alert.alert for alert in policy.alerts} == {alert for alert, _ in _faults(preset)}
    if _needs_newer_promtool(policy):
        pytest.skip("this promtool reads no names with points; scripts/newest runs it")
    faults = [(alert, requests(server, traffic, samples=_SAMPLES, fault=_FAULT)) for alert, traffic in _faults(preset)]
    well = requests(server, Traffic(), samples=_SAMPLES, fault=_FAULT)
    assert play(resolve(policy), _runs(faults, well, 16 * 60), every=30) == ""


def test_pods_are_well_or_sick_as_the_kubelet_and_kube_state_metrics_show_them(tmp_path: Path) -> None:
    policy = _example("kubernetes", tmp_path)
    assert [alert.alert for alert in policy.alerts] == [alert for alert, _ in KUBERNETES]
    faults = [(alert, pods(state, samples=_SAMPLES, fault=_FAULT)) for alert, state in KUBERNETES]
    assert play(resolve(policy), _runs(faults, pods(Pods(), samples=_SAMPLES, fault=_FAULT), 12 * 60), every=30) == ""


@pytest.mark.parametrize("preset", [*PRESETS, *CLIENTS])
def test_the_example_of_each_page_builds_and_its_built_tests_pass(preset: str, tmp_path: Path) -> None:
    policy = _example(preset, tmp_path)
    write(build([policy]), tmp_path)
    if not _needs_newer_promtool(policy):
        done = promtool_test([tmp_path / "tests" / f"{policy.policy}.{kind}.yml" for kind in ("signals", "boundaries")])
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_each_preset_names_its_faults() -> None:
    for preset in PRESETS:
        matches = re.findall(r"^\| .+ \| (\w+) \|$", (PAGES / f"{preset}.md").read_text(), re.MULTILINE)
        assert matches[1:] == [alert for alert, _ in (KUBERNETES if preset == "kubernetes" else _faults(preset))]
    overview = (PAGES / "README.md").read_text()
    assert set(re.findall(r"^\| \[`([a-z0-9-]+)`\]", overview, re.MULTILINE)) == set(PRESETS)


def _policy(preset: str, alerts: dict[str, str], folder: Path) -> Policy:
    every = "".join(_ALERT.format(name=name, when=when) for name, when in alerts.items())
    head = f"policy: mine\nabout: X.\nsources: {{ours: {{title: X}}}}\npreset: {preset}\nalerts:"
    return policy_from(head + every, folder)


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
