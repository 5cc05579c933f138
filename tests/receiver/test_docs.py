"""The page on running the receiver: its configurations are good, its commands are there, its metrics are all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme
from click import Group
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from deploywatch import config
from deploywatch.access.webconfig import Access
from deploywatch.cli import cli
from deploywatch.conventions import DeploymentMetric, IncidentMetric, ReceiverMetric
from deploywatch.receiver.metrics import Counters, StoreFailures
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.stored_metrics import snapshot
from tests.receiver.scene import Scene, alert

PAGE = (Path(__file__).parents[2] / "docs" / "receiver.md").read_text()
CONFIGS = re.findall(r"```yaml\n((?:database|upstream):.*?)```", PAGE, re.DOTALL)
NAMES = {
    name
    for names in (DeploymentMetric, IncidentMetric, ReceiverMetric)
    for key, name in vars(names).items()
    if key.isupper()
}


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_every_config_on_the_page_is_good(text: str, tmp_path: Path) -> None:
    (tmp_path / "receiver.yml").write_text(text)
    assert config.load(tmp_path / "receiver.yml", ReceiverConfig)


def test_the_web_config_on_the_page_lets_nobody_in_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = re.findall(r"```yaml\n(credentials:.*?)```", PAGE, re.DOTALL)
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    server.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    (tmp_path / "alertmanager-token").write_text("one-that-is-long-enough")
    (tmp_path / "web.yml").write_text(text.replace("$2y$10$...", f"$2y$10${'a' * 53}"))
    monkeypatch.setenv("CI_TOKEN", "another-that-is-long-enough")
    loaded = Access(tmp_path / "web.yml").loaded
    assert loaded.authenticates
    assert loaded.tokens == ()
    assert {identity.name for identity in loaded.narrow.values()} == {"alertmanager", "ci"}


@pytest.mark.parametrize("command", sorted(set(re.findall(r"deploywatch ((?:store )?[a-z]+) --config", PAGE))))
def test_every_command_on_the_page_is_there(command: str) -> None:
    assert isinstance(cli, Group)
    assert CliRunner().invoke(cli, [*command.split(), "--help"]).exit_code == 0


def test_every_metric_is_on_the_page() -> None:
    assert {name for name in NAMES if f"`{name}" not in PAGE} == set()


async def test_every_metric_on_the_page_is_exposed(scene: Scene) -> None:
    registry = CollectorRegistry()
    Counters(registry)
    registry.register(StoreFailures(scene.context.store.failures))
    await scene.take(alert())
    registry.register(await scene.read(lambda c: snapshot(c, scene.clock.now)))
    exposed = {family.name for family in registry.collect()}
    assert {name for name in NAMES if name.removesuffix("_total") not in exposed} == set()
