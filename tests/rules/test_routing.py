"""Alertmanager sends a policy's alerts to the policy's receiver; amtool is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deploywatch.errors import ConfigError
from deploywatch.quantity import parse_duration
from deploywatch.receiver.settings.upstream import Watchdog
from deploywatch.rules.build import build, write
from deploywatch.rules.outputs import alerting, routing
from deploywatch.rules.outputs.routing import receiver_name
from tests.rules.tools import GOOD, SHIPPED, policy_from, run, shipped


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration for the demo and the insurance platform together."""
    write(build([shipped("demo"), shipped("insurance-lead-gen")]), tmp_path)
    return tmp_path / "alertmanager.yml"


def _route(config: Path, *labels: str) -> str:
    done = run("amtool", "config", "routes", "test", f"--config.file={config}", *labels)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["demo", "insurance-lead-gen"])
def test_an_alert_goes_to_the_receiver_of_its_policy(config: Path, name: str) -> None:
    assert _route(config, f"policy={name}", "service=shop", "severity=critical") == receiver_name(shipped(name))


def test_an_alert_of_nobody_goes_to_the_first_receiver(config: Path) -> None:
    assert _route(config, "alertname=SomebodyElses") == "deploywatch-demo"


def test_resolved_alerts_are_sent_and_none_is_cut_off(config: Path) -> None:
    loaded = YAML(typ="safe").load(config)
    for receiver in loaded["receivers"]:
        assert receiver["webhook_configs"][0]["send_resolved"] is True
        assert receiver["webhook_configs"][0]["max_alerts"] == 0
    assert loaded["route"]["routes"][0]["group_by"] == ["service", "environment"]


def test_a_token_is_named_as_a_file_and_never_copied(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-secret")
    url = '{url: "http://127.0.0.1:9872/webhook/alertmanager"'
    policy = policy_from(GOOD.replace(url, f"{url}, token_file: {token}"), tmp_path)
    files = build([policy])
    assert not any("the-secret" in text for text in files.values())
    webhook = YAML(typ="safe").load(files["alertmanager.yml"])["receivers"][0]["webhook_configs"][0]
    assert webhook["http_config"] == {"authorization": {"type": "Bearer", "credentials_file": str(token)}}


NAMES = [path.stem for path in SHIPPED]


@pytest.mark.parametrize(
    ("labels", "route"),
    [
        (["action=rollback", "severity=critical"], '{action="rollback"}'),
        (["action=notify", "severity=critical"], '{severity="critical"}'),
        (["action=scale", "severity=high"], '{severity="high"}'),
        (["action=log", "severity=medium"], '{severity="medium"}'),
        (["action=ticket", "severity=low"], '{severity="low"}'),
    ],
)
def test_an_alert_takes_the_route_of_its_action_or_severity(config: Path, labels: list[str], route: str) -> None:
    tree = _route(config, "--tree", "policy=insurance-lead-gen", "service=api", *labels)
    assert f"{route}  receiver: deploywatch-insurance-lead-gen" in tree


def _matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """What Alertmanager makes of matchers."""
    read = [re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', one) for one in matchers]
    tests: dict[str, Callable[[str, str], bool]] = {
        "=": lambda has, wants: has == wants,
        "!=": lambda has, wants: has != wants,
        "=~": lambda has, wants: re.fullmatch(wants, has) is not None,
        "!~": lambda has, wants: re.fullmatch(wants, has) is None,
    }
    return all(one is not None and tests[one[2]](labels.get(one[1], ""), one[3]) for one in read)


def _silenced(name: str) -> dict[str, set[str]]:
    """For each alert of a policy, those that it silences."""
    policy = shipped(name)
    rules = routing.config([policy])["inhibit_rules"]
    labels = {alert.alert: alerting.own_labels(policy, alert) for alert in policy.alerts}
    return {
        source: {
            target
            for target in labels
            for rule in rules
            if _matches(rule["source_matchers"], labels[source]) and _matches(rule["target_matchers"], labels[target])
        }
        for source in labels
    }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_silences_a_rollback(name: str) -> None:
    silent = {target for targets in _silenced(name).values() for target in targets}
    assert not silent & {alert.alert for alert in shipped(name).alerts if alert.action == "rollback"}


def test_what_is_critical_silences_what_is_medium_or_low_and_nothing_else() -> None:
    severities = {alert.alert: alert.severity for alert in shipped("insurance-lead-gen").alerts}
    silenced = _silenced("insurance-lead-gen")
    assert {severities[target] for target in silenced["HighErrorRate"]} == {"medium", "low"}
    assert not silenced["HighDBLatency"]


def test_a_failed_dependency_of_low_severity_silences_nothing_that_is_worse() -> None:
    assert not _silenced("enterprise")["DependencyDown"]


def test_inhibition_is_about_one_service_in_one_environment() -> None:
    rules = routing.config([shipped(name) for name in NAMES])["inhibit_rules"]
    assert rules
    for rule in rules:
        assert rule["equal"] == ["service", "environment"]
        assert all(one[0].startswith("policy=") for one in (rule["source_matchers"], rule["target_matchers"]))


def test_only_what_may_wait_waits_for_office_hours() -> None:
    found = routing.config([shipped("wix-platform")])
    (interval,) = found["time_intervals"]
    routes = {route["matchers"][0]: route for route in found["route"]["routes"][0]["routes"]}
    held = [matcher for matcher, route in routes.items() if "active_time_intervals" in route]
    assert held == ['severity="low"']
    assert routes[held[0]]["active_time_intervals"] == [interval["name"]]


def test_critical_alerts_cannot_be_made_to_wait(tmp_path: Path) -> None:
    url = '{url: "http://127.0.0.1:9872/webhook/alertmanager"'
    with pytest.raises(ConfigError, match=r"receiver\.office_hours\.holds"):
        policy_from(GOOD.replace(url, f"{url}, office_hours: {{holds: [critical]}}"), tmp_path)


def test_the_watchdog_is_repeated_several_times_within_what_the_receiver_waits(config: Path) -> None:
    tree = _route(config, "--tree", "alertname=Watchdog", "severity=none")
    assert '{alertname="Watchdog"}  receiver: deploywatch-demo' in tree
    route = YAML(typ="safe").load(config)["route"]["routes"][-1]
    within = Watchdog().within
    for key in ("group_wait", "group_interval", "repeat_interval"):
        assert parse_duration(route[key]) * 3 <= within, f"{key} is too long for {within}"
    assert route["group_by"] == ["alertname"], "a group of its own, which no other alert holds back"
