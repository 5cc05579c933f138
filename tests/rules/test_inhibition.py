"""Of alerts that fire together the worst is sent: what mutes is never muted, and nothing mutes a critical alert.

Here every set of up to three alerts is tried on a model of Alertmanager, and amlint reads the configuration; a real
Alertmanager confirms the model in `test_inhibition_sent.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploywatch.rules.build import build, rule_files, write
from deploywatch.rules.outputs import routing
from deploywatch.rules.policy import OfficeHours, Policy
from deploywatch.rules.resolve import resolve
from tests.rules.test_routing import _matches
from tests.rules.tools import SHIPPED, shipped

SEVERITIES = ("critical", "high", "medium", "low")
NAMES = [path.stem for path in SHIPPED]


def own_labels(policy: Policy) -> list[dict[str, str]]:
    """What each alert bears by itself, as it stands in the rules that are built."""
    groups = [
        group for path, text in rule_files(resolve(policy)) if path.endswith(".alerts.yml") for group in _groups(text)
    ]
    return [{"alertname": rule["alert"]} | rule["labels"] for group in groups for rule in group["rules"]]


def _groups(text: str) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = YAML(typ="safe").load(text)["groups"]
    return groups


def sent(policy: Policy, firing: list[dict[str, str]]) -> list[dict[str, str]]:
    """What Alertmanager sends of alerts of one service: a source mutes even when it is muted itself."""
    rules = routing.config([policy])["inhibit_rules"]

    @cache
    def matches(matchers: tuple[str, ...], position: int) -> bool:
        return _matches(list(matchers), firing[position])

    def muted(position: int) -> bool:
        return any(
            matches(tuple(rule["target_matchers"]), position)
            # Alertmanager does not let an alert that matches both sides be muted by another such alert.
            and any(matches(tuple(rule["source_matchers"]), other) for other in range(len(firing)) if other != position)
            for rule in rules
        )

    return [labels for position, labels in enumerate(firing) if not muted(position)]


def _worst(alerts: list[dict[str, str]]) -> int:
    return min((SEVERITIES.index(labels["severity"]) for labels in alerts), default=len(SEVERITIES))


@pytest.mark.parametrize("name", NAMES)
def test_of_up_to_three_alerts_of_a_policy_that_fire_together_the_worst_is_sent(name: str) -> None:
    policy = shipped(name)
    every = own_labels(policy)
    for count in (1, 2, 3):
        for together in combinations(every, count):
            heard = sent(policy, list(together))
            assert _worst(heard) == _worst(list(together)), [labels["alertname"] for labels in together]
            for labels in together:
                if labels["severity"] == "critical" or labels["action"] == "rollback":
                    assert labels in heard, [other["alertname"] for other in together]


def _with_dependency(severity: str, **receiver: Any) -> Policy:
    """Policy enterprise, whose dependency's alert has another severity."""
    policy = shipped("enterprise")
    alerts = tuple(
        alert.model_copy(update={"severity": severity}) if alert.alert == "DependencyDown" else alert
        for alert in policy.alerts
    )
    assert policy.receiver is not None
    changed = policy.receiver.model_copy(update=receiver)
    return policy.model_copy(update={"alerts": alerts, "receiver": changed})


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("holds", [(), ("low",), ("medium", "low"), ("medium",)])
def test_what_mutes_is_never_muted_whatever_a_failed_dependency_is_to_the_policy(
    severity: str, holds: tuple[Any, ...]
) -> None:
    policy = _with_dependency(severity, office_hours=OfficeHours(holds=holds))
    rules = routing.config([policy])["inhibit_rules"]
    for labels in own_labels(policy):
        source = any(_matches(rule["source_matchers"], labels) for rule in rules)
        target = any(_matches(rule["target_matchers"], labels) for rule in rules)
        assert not (source and target), labels["alertname"]
        assert not (source and labels["severity"] in holds), f"{labels['alertname']} waits for office hours, and mutes"
        assert not (target and labels["severity"] == "critical"), labels["alertname"]


def test_a_failed_dependency_mutes_what_is_no_worse_than_itself() -> None:
    victims = {severity: len(_muted_by_dependency(severity)) for severity in SEVERITIES}
    assert victims["high"] > victims["medium"] > victims["low"]
    assert victims["critical"] == victims["high"], "nothing mutes what is critical"


def _muted_by_dependency(severity: str) -> list[str]:
    policy = _with_dependency(severity)
    every = own_labels(policy)
    dependency = next(labels for labels in every if labels["alertname"] == "DependencyDown")
    others = [labels for labels in every if labels is not dependency]
    return [labels["alertname"] for labels in others if labels not in sent(policy, [dependency, labels])]


def _amlint(folder: Path) -> list[str]:
    """The codes of amlint's errors and warnings."""
    program = Path(sys.executable).parent / "amlint"
    rules = ["--rules", str(folder / "rules" / "*.yml")] if (folder / "rules").exists() else []
    arguments = [str(program), "check", str(folder / "alertmanager.yml"), *rules, "--format", "json", "--strict"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    data = json.loads(done.stdout)
    codes = [f"{row['code']}: {row['message']}" for row in data if row["level"] != "info"]
    assert bool(codes) == bool(done.returncode), done.stdout + done.stderr
    return codes


def test_amlint_has_nothing_against_the_policies_together(tmp_path: Path) -> None:
    write(build([shipped(name) for name in NAMES]), tmp_path)
    assert _amlint(tmp_path) == []


@pytest.mark.parametrize("severity", SEVERITIES)
def test_amlint_finds_no_circle_whatever_a_failed_dependency_is_to_the_policy(severity: str, tmp_path: Path) -> None:
    write(build([_with_dependency(severity)]), tmp_path)
    assert _amlint(tmp_path) == []


def test_amlint_finds_a_circle_where_there_is_one(tmp_path: Path) -> None:
    config = routing.config([shipped("enterprise")])
    first = config["inhibit_rules"][0]
    turned = {"source_matchers": first["target_matchers"], "target_matchers": first["source_matchers"]}
    config["inhibit_rules"].append(first | turned)
    YAML(typ="safe").dump(config, tmp_path / "alertmanager.yml")
    (found,) = _amlint(tmp_path)
    assert "circular-inhibition" in found
