"""Series that no label tells apart say whose they are: what is recorded and each alert bears both of our labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.rules.build import build, write
from deploywatch.rules.live.drafting import Today, draft
from deploywatch.rules.live.survey import Counted, Survey
from deploywatch.rules.policy import Policy
from tests.rules.raw_series import fires
from tests.rules.test_signals import LIMITS
from tests.rules.tools import GOOD, policy_from, promtool_test

SELECTED = "selectors: {service: shop, environment: production}\ninterval: 30s\n"
ALWAYS = "{service: app, environment: {always: production}}"
OTHERS = ["targets", "deployments", "queues", "connections", "cpu", "memory", "disk", "disk_times", "network"]


def _policy(folder: Path, when: str, labels: str = ALWAYS) -> Policy:
    text = GOOD.replace("error_ratio > 1%", when).replace("interval: 30s\n", SELECTED)
    text = re.sub(r"\{metric: (\w+)", rf"{{labels: {labels}, metric: \1", text).replace("{}", f"{{labels: {labels}}}")
    others = "".join(f"  {key}: {{labels: {labels}}}\n" for key in OTHERS)
    return policy_from(text.replace("series:\n", f"series:\n{others}"), folder)


def test_requests_without_an_environment_fire_an_alert_of_the_policys(tmp_path: Path) -> None:
    series = {
        f'http_requests_total{{app="shop",status="{code}"}}': f"0+{each}x60" for code, each in (("200", 9), ("500", 1))
    }
    series |= {'http_requests_total{app="cart",status="500"}': "0+9x60"}
    policy = _policy(tmp_path, "error_ratio > 1%")
    fires(policy, tmp_path, series, {"20m": ["Sample"]})
    (tmp_path / "raw.yml").write_text(
        (tmp_path / "raw.yml")
        .read_text()
        .replace("group by (alertname)", "group by (service, environment)")
        .replace('{alertname="Sample"}', '{service="shop", environment="production"}')
    )
    done = promtool_test([tmp_path / "raw.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_signal_is_to_be_had_of_such_series(tmp_path: Path) -> None:
    labels = "{service: {always: shop}, environment: {always: production}}"
    limits = {name: limit for name, limit in LIMITS.items() if not name.startswith("dependency")}
    write(
        build([_policy(tmp_path, " or ".join(f"{name} {limit}" for name, limit in limits.items()), labels)]), tmp_path
    )
    done = promtool_test([tmp_path / "tests" / "mine.signals.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("{environment: {always: staging}}", "the series are always of staging; write `selectors: {environment: stag"),
        ("{environment: {allways: production}}", "write the label's name, or {always: production}"),
        ("{environment: {always: 5}}", "write the label's name, or {always: production}"),
    ],
)
def test_another_environment_than_the_policy_selects_is_refused(labels: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        _policy(tmp_path, "error_ratio > 1%", labels)
    assert all("policy.yml:" in line for line in str(error.value).splitlines())


def test_probes_that_are_all_of_one_service_tell_of_no_dependency(tmp_path: Path) -> None:
    text = GOOD.replace("error_ratio > 1%", "dependency_up == 0").replace("interval: 30s\n", SELECTED)
    text = text.replace("series:\n", "series:\n  probes: {labels: {service: {always: shop}}}\n")
    with pytest.raises(ConfigError, match="the probes are always shop's own, and none is a dependency's"):
        policy_from(text, tmp_path)


def test_a_draft_from_series_without_an_environment_is_about_the_one_without_a_name(tmp_path: Path) -> None:
    counted = Counted("http_requests_total", "status", classes=False)
    found = Survey(counted, None, "job", "", ("shop",), (), frozenset({"up"}))
    policy = policy_from(draft(found, Today(0.0, None), name="shop", url="http://127.0.0.1:1/"), tmp_path)
    series = {f'http_requests_total{{job="shop",status="{code}"}}': "0+9x60" for code in ("200", "500")}
    fires(policy, tmp_path, series, {"20m": ["HighErrorRate"]})
