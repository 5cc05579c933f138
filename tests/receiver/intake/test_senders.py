"""What others than Prometheus make an Alertmanager post, and Grafana itself: each as it documents it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploywatch.receiver.incidents.alerts import alert_views
from deploywatch.receiver.intake.payload import understand
from deploywatch.receiver.settings.upstream import Upstream
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import NOON, settings

PAYLOADS = Path(__file__).parent / "senders"
EXAMPLES = Path(__file__).parents[3] / "examples" / "senders"

# Of each sender's payload: service, environment and severity of the incidents that it opens.
OPENED = {
    "kube-prometheus-stack": [
        ("shop", "default", "medium"),
        ("search", "default", "medium"),
        ("KubeletDown", "default", "critical"),
    ],
    "vmalert": [("checkout", "production", "critical")],
    "mimir": [("checkout", "production", "critical")],
    "loki": [("checkout", "production", "critical")],
    "grafana": [("checkout", "production", "critical"), ("search", "production", "high")],
}


def test_each_sender_has_its_payload() -> None:
    assert {file.stem for file in PAYLOADS.glob("*.json")} == set(OPENED)


@pytest.mark.parametrize("sender", OPENED)
async def test_each_senders_alerts_open_the_incidents_of_their_services(make_scene: MakeScene, sender: str) -> None:
    scene = make_scene(settings())
    delivery = understand((PAYLOADS / f"{sender}.json").read_bytes(), NOON)
    assert delivery.rejected == ()
    await scene.take(*delivery.alerts)
    found = [(incident.service, incident.environment, incident.severity) for incident in await scene.incidents()]
    assert found == OPENED[sender]


@pytest.mark.parametrize(
    ("sender", "link"), [("vmalert", "alert_id="), ("mimir", "g0.expr="), ("loki", "explore?left=")]
)
async def test_the_link_to_what_the_sender_evaluated_is_kept(make_scene: MakeScene, sender: str, link: str) -> None:
    scene = make_scene(settings())
    await scene.take(*understand((PAYLOADS / f"{sender}.json").read_bytes(), NOON).alerts)
    (view,) = await scene.read(lambda c: alert_views.views(c, 1))
    assert link in view.source_url


async def test_grafanas_links_and_values_are_used(make_scene: MakeScene) -> None:
    scene = make_scene(settings())
    await scene.take(*understand((PAYLOADS / "grafana.json").read_bytes(), NOON).alerts)
    (view,) = await scene.read(lambda c: alert_views.views(c, 1))
    assert (view.dashboard_url, view.value) == ("https://grafana.example/d/shop?orgId=1&viewPanel=7", "B=0.053, C=1")
    assert view.annotations["silence_url"].startswith("https://grafana.example/alerting/silence/new")
    assert view.runbook_url == "https://runbooks.example/errors"


def _alertmanager_configs() -> Iterator[tuple[str, Any]]:
    for file in sorted(EXAMPLES.glob("*.yml")):
        read = YAML(typ="safe").load(file)
        if "route" in read:
            yield file.name, read
        elif "alertmanager" in read:
            yield file.name, read["alertmanager"]["config"]


@pytest.mark.parametrize(("name", "config"), list(_alertmanager_configs()))
def test_the_examples_are_good_for_alertmanager(name: str, config: Any, tmp_path: Path) -> None:
    file = tmp_path / name
    with file.open("w") as stream:
        YAML().dump(config, stream)
    checked = subprocess.run(["amtool", "check-config", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    hooks = [hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])]
    assert hooks
    assert all(hook["send_resolved"] for hook in hooks)


def test_grafanas_example_sends_resolves_to_the_webhook() -> None:
    read = YAML(typ="safe").load(EXAMPLES / "grafana.yml")
    ((receiver,),) = [point["receivers"] for point in read["contactPoints"]]
    assert (receiver["type"], receiver["disableResolveMessage"]) == ("webhook", False)
    assert receiver["settings"]["url"].endswith("/webhook/alertmanager")
    assert [policy["receiver"] for policy in read["policies"]] == [point["name"] for point in read["contactPoints"]]


@pytest.mark.parametrize("file", ["receiver.yml"])
def test_every_example_of_a_receiver_asks_its_alertmanagers(file: str) -> None:
    read = YAML(typ="safe").load(EXAMPLES.parent / file)
    assert read["upstream"]["alertmanagers"]


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yml")), ids=lambda file: file.stem)
def test_what_the_examples_say_of_the_receivers_side_is_good(file: Path) -> None:
    commented = re.search(r"^#   (upstream:\n(?:#     .*\n)+)", file.read_text(), re.MULTILINE)
    if commented:
        text = "\n".join(line.lstrip("#")[3:] if line.startswith("#") else line for line in commented[1].splitlines())
        Upstream.model_validate(YAML(typ="safe").load(text)["upstream"])
    assert bool(commented) == (file.stem in {"kube-prometheus-stack", "mimir"})
