"""Rules, routes and dashboards as the resources that the Prometheus operator and Grafana's sidecar read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploywatch.errors import DeploywatchError
from deploywatch.rules.build import build
from deploywatch.rules.builtin_policies import POLICIES
from deploywatch.rules.outputs import operator_resources, routing
from deploywatch.rules.outputs.emit import yaml
from deploywatch.rules.policy import Policy, Receiver
from deploywatch.rules.resolve import resolve
from tests.deploy.crd import faults
from tests.rules.tools import run, shipped

SHIPPED = sorted(path.stem for path in POLICIES.glob("*.yml"))
ASKED = operator_resources.metadata("monitoring", ["release=kube-prometheus-stack"])
NOTHING = operator_resources.metadata("", [])


def read(text: str) -> Any:
    return YAML(typ="safe").load(text)


def every_alert(policies: list[Policy]) -> Iterator[dict[str, Any]]:
    """The labels of the alerts in the resources."""
    for _, text in operator_resources.prometheus_rules([resolve(policy) for policy in policies], ASKED):
        for group in read(text)["spec"]["groups"]:
            yield from (rule["labels"] for rule in group["rules"] if "alert" in rule)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_rules_are_those_of_the_files_and_keep_the_operators_schema(name: str, tmp_path: Path) -> None:
    policy = shipped(name)
    files = build([policy])
    made = dict(operator_resources.prometheus_rules([resolve(policy)], NOTHING))
    assert set(made) == {f"prometheus-rule/{name}.yml", "prometheus-rule/deploywatch_itself.yml"}
    kinds = {
        f"prometheus-rule/{name}.yml": ("recording", "alerts"),
        "prometheus-rule/deploywatch_itself.yml": ("alerts",),
    }
    for path, text in made.items():
        resource, stem = read(text), Path(path).stem
        assert faults(resource) == []
        groups = [group for kind in kinds[path] for group in read(files[f"rules/{stem}.{kind}.yml"])["groups"]]
        assert resource["spec"] == {"groups": groups}
    spec = tmp_path / "spec.yml"
    spec.write_text(yaml(read(made[f"prometheus-rule/{name}.yml"])["spec"]))
    checked = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", spec)
    assert checked.returncode == 0, checked.stderr


def test_what_kubernetes_is_told_of_a_resource_is_what_was_asked_for() -> None:
    policy = resolve(shipped("enterprise"))
    forms = (
        *operator_resources.prometheus_rules([policy], ASKED),
        *operator_resources.dashboard_config_maps({"dashboards/a_b.json": "{}"}, ASKED),
    )
    for _, text in forms:
        metadata = read(text)["metadata"]
        assert metadata["namespace"] == "monitoring"
        assert metadata["labels"]["release"] == "kube-prometheus-stack"
        assert metadata["name"].replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("namespace", "labels", "fault"),
    [
        ("Monitoring", [], "--namespace 'Monitoring'"),
        ("a.b", [], "--namespace"),
        ("", ["release"], "--label release: write key=value"),
        ("", ["a=b", "x=y z"], "--label x=y z"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_here(namespace: str, labels: list[str], fault: str) -> None:
    with pytest.raises(DeploywatchError, match=fault):
        operator_resources.metadata(namespace, labels)


def routed(**receiver: Any) -> Policy:
    """A policy whose alerts go to a receiver."""
    given = {"url": "http://deploywatch.monitoring.svc:9872/webhook/alertmanager", **receiver}
    return shipped("enterprise").model_copy(update={"receiver": Receiver.model_validate(given)})


def configs(policy: Policy) -> list[dict[str, Any]]:
    return [read(text) for _, text in operator_resources.alertmanager_configs([resolve(policy)], ASKED)]


def test_the_routes_are_alertmanagers_in_the_operators_words() -> None:
    policy = routed(token_file="/etc/token")
    main, watchdog = configs(policy)
    assert faults(main) == []
    assert faults(watchdog) == []
    wanted = routing.config([policy])
    assert len(main["spec"]["inhibitRules"]) == len(wanted["inhibit_rules"])
    (ours,) = main["spec"]["route"]["routes"]
    rollback = ours["routes"][0]
    assert rollback == {
        "matchers": [{"name": "action", "matchType": "=", "value": "rollback"}],
        "groupWait": "0s",
    }
    hook = main["spec"]["receivers"][0]["webhookConfigs"][0]
    secret = {"name": "deploywatch-webhook", "key": "token"}
    assert hook["httpConfig"]["authorization"] == {"type": "Bearer", "credentials": secret}
    assert hook["sendResolved"] is True


def test_alerts_of_other_people_are_left_to_their_own_routes() -> None:
    main, watchdog = configs(routed())
    assert {"name": "policy", "matchType": "!=", "value": ""} in main["spec"]["route"]["matchers"]
    assert watchdog["spec"]["route"]["matchers"] == [{"name": "alertname", "matchType": "=", "value": "Watchdog"}]
    assert watchdog["spec"]["route"]["repeatInterval"] == "2m"


def test_the_namespace_that_the_operator_adds_to_every_matcher_is_on_every_alert() -> None:
    """OnNamespace, the operator's default, adds namespace="monitoring"; without the label no alert would be routed."""
    assert {labels["namespace"] for labels in every_alert([routed()])} == {"monitoring"}


def test_office_hours_that_the_resource_cannot_say_are_refused() -> None:
    hours = {"days": "monday:friday", "start": "09:00", "end": "17:00", "location": "Europe/Vienna"}
    with pytest.raises(DeploywatchError, match="Europe/Vienna, and this resource knows UTC alone"):
        configs(routed(office_hours=hours))
    main, _ = configs(routed(office_hours={**hours, "location": "UTC"}))
    assert faults(main) == []
    assert main["spec"]["muteTimeIntervals"][0]["timeIntervals"][0]["weekdays"] == ["monday:friday"]


def test_routes_without_a_receiver_are_refused() -> None:
    policy = shipped("enterprise").model_copy(update={"receiver": None})
    with pytest.raises(DeploywatchError, match="no policy has a receiver"):
        configs(policy)


def test_a_dashboard_is_in_a_configmap_for_the_sidecar() -> None:
    made = {"dashboards/shop.json": json.dumps({"title": 'Shop\'s "health"', "panels": [{"expr": "a\nb"}]}, indent=2)}
    ((path, text),) = operator_resources.dashboard_config_maps(made, NOTHING)
    resource = read(text)
    assert path == "grafana-configmap/shop.yml"
    assert resource["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(resource["data"]["shop.json"]) == json.loads(made["dashboards/shop.json"])


def test_a_dashboard_that_is_too_large_for_a_configmap_is_refused() -> None:
    with pytest.raises(DeploywatchError, match="larger than a ConfigMap"):
        list(operator_resources.dashboard_config_maps({"dashboards/x.json": "x" * 2**20}, NOTHING))
