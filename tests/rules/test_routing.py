"""Alertmanager sends a policy's alerts to the policy's receiver; amtool is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from rules.build import build, write
from rules.outputs.routing import receiver_name
from tests.rules.tools import GOOD, policy_from, run, shipped


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
    found = YAML(typ="safe").load(config)
    for receiver in found["receivers"]:
        assert receiver["webhook_configs"][0]["send_resolved"] is True
        assert receiver["webhook_configs"][0]["max_alerts"] == 0
    assert found["route"]["routes"][0]["group_by"] == ["service", "environment"]


def test_a_token_is_named_as_a_file_and_never_copied(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-secret")
    url = '{url: "http://127.0.0.1:9872/webhook/alertmanager"'
    policy = policy_from(GOOD.replace(url, f"{url}, token_file: {token}"), tmp_path)
    files = build([policy])
    assert not any("the-secret" in text for text in files.values())
    webhook = YAML(typ="safe").load(files["alertmanager.yml"])["receivers"][0]["webhook_configs"][0]
    assert webhook["http_config"] == {"authorization": {"type": "Bearer", "credentials_file": str(token)}}
