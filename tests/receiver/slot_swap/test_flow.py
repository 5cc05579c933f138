"""docs/slots.md's example, run: two slots in files, an exporter that reads them, real commands, and a receiver that
goes back."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from deploywatch.demo.free_ports import free_port
from deploywatch.errors import ConfigError, UnreachableError
from deploywatch.receiver.api import add_to
from deploywatch.receiver.client import Client
from deploywatch.receiver.commands.deployments.ledger import deployments
from deploywatch.receiver.executors.plan import Means
from deploywatch.receiver.incidents.incident import Status
from deploywatch.receiver.intake.webhook import Endpoint, Intake
from deploywatch.receiver.metrics import Counters
from deploywatch.receiver.slot_swap import plan as plans
from deploywatch.receiver.slot_swap.flow import Asked, Flow, StoppedError
from tests.demo.conftest import alive
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import Scene, alert, settings
from tests.support.policies import planned, shop

PAGE = (Path(__file__).parents[3] / "docs" / "slots.md").read_text()
EXAMPLE = re.search(r"```yaml\n# slots.yml\n(.*?)```", PAGE, re.DOTALL)
POLICY = shop(
    """
stages:
  - {stage: switched, share: 100%, lasts: 5m}
gate:
  - {require: no_open_incident}
verdict:
  fail: [error_ratio > 0.5%]
  source: {ours: figures}
"""
)
SCRIPTS = {
    "into-slot.sh": 'echo "$1" > slot',
    "swap.sh": "cp slot between; cp live slot; cp between live; echo swapped >> swaps",
    "smoke.sh": 'echo "$1" >> smoked; ! grep -qx "$1" broken 2>/dev/null',
}

AZURE = {"azure_slot_swap": {"resource_group": "shops", "app": "shop", "slot": "staging"}}
AZ = """
[ "$1 $2 $3 $4" = "webapp deployment slot swap" ] || { echo "az: '$*' is misspelled or not recognized" >&2; exit 2; }
shift 4
while [ $# -gt 1 ]; do
  case "$1" in
    --resource-group|-g) group=$2 ;;
    --name|-n) app=$2 ;;
    --slot|-s) slot=$2 ;;
    --target-slot) target=$2 ;;
    *) echo "ERROR: unrecognized arguments: $1" >&2; exit 2 ;;
  esac
  shift 2
done
[ $# = 0 ] && [ -n "$group" ] && [ -n "$app" ] && [ -n "$slot" ] || { echo "ERROR: required" >&2; exit 2; }
[ "$group $app $slot ${target:-production}" = "shops shop staging production" ] || {
  echo "ERROR: (ResourceNotFound) The Resource was not found." >&2; exit 3; }
cp slot between; cp live slot; cp between live; echo az >> swaps
"""
"""A stand-in for Azure's command line with the arguments, faults and exit codes of its pages."""


@dataclass(slots=True)
class World:
    """A service with two slots, what stands in for the exporter, and a receiver in this process."""

    folder: Path
    scene: Scene
    url: str
    said: list[str] = field(default_factory=list)
    watched: list[tuple[int, str]] = field(default_factory=list)
    verdict: tuple[int, str] = (0, "proven good")

    @property
    def live(self) -> str:
        """The version in production."""
        return self.read("live")

    def read(self, name: str) -> str:
        """What a file in the folder says; nothing where it is not there."""
        file = self.folder / name
        return file.read_text().strip() if file.exists() else ""

    def script(self, name: str, text: str) -> None:
        """A program of the service's, in its folder."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ncd {self.folder}\n{text}\n")
        path.chmod(0o755)

    def plan(self, **more: Any) -> Path:
        """The example of the page, at the addresses of this test."""
        assert EXAMPLE
        text = EXAMPLE[1].replace("./", f"{self.folder}/").replace("http://127.0.0.1:9871", self.url)
        read = YAML(typ="safe").load(text.replace("healthy_for: 10s", "healthy_for: 1s").replace("5m", "9s"))
        file = self.folder / "slots.yml"
        with file.open("w") as out:
            YAML().dump({**read, "back_within": "2m", **more}, out)
        return file

    async def run(self, version: str = "1.2.4", **more: Any) -> tuple[int, str]:
        """The flow; how it ended, and why."""

        async def sleep(seconds: float) -> None:
            await self.scene.after(timedelta(seconds=seconds))

        def watch(number: int, stage: str) -> tuple[int, str]:
            self.watched.append((number, stage))
            return self.verdict

        async with aiohttp.ClientSession() as http:
            plan, asked = plans.load(self.plan(**more)), Asked(version, "", "ci")
            means = Means(http, self.scene.clock, sleep, plan.variables)
            flow = Flow(plan, Client(self.url), means, asked, watch, self.said.append)
            try:
                await flow.run()
            except StoppedError as stopped:
                return stopped.code, str(stopped)
        return 0, self.said[-1]

    async def ledger(self) -> list[tuple[str, str]]:
        """Version and status of each deployment but the first, the oldest first."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/api/v1/deployments") as answer:
            rows = await answer.json()
        return [(row["version"], row["status"]) for row in rows[::-1]][1:]

    @property
    def swaps(self) -> int:
        """How often was swapped."""
        file = self.folder / "swaps"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
async def world(make_scene: MakeScene, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """1.2.3 is in production, and 1.2.2 in the slot; a rollback swaps by a command, unless the test says how."""
    planned(POLICY, tmp_path)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    target = {
        "service": "shop",
        **getattr(request, "param", {"command": [str(tmp_path / "swap.sh")]}),
        "verify": {"url": f"{url}/health/services/{{service}}", "healthy_for": "1s", "within": "120s"},
    }
    scene = make_scene(
        settings(verification={"plans": [str(tmp_path / "shop.json")]}, rollback={"mode": "auto", "targets": [target]})
    )
    made = World(tmp_path, scene, url)
    for name, text in SCRIPTS.items():
        made.script(name, text)
    (tmp_path / "live").write_text("1.2.3\n")
    (tmp_path / "slot").write_text("1.2.2\n")
    await scene.deployed("1.2.3", ago=timedelta(days=1))

    async def health(request: web.Request) -> web.Response:
        file = "slot" if request.match_info["service"] == "shop-slot" else "live"
        version = (tmp_path / file).read_text().strip()
        sick = (tmp_path / "sick").exists() and (tmp_path / "sick").read_text().strip() == f"{file} {version}"
        return web.json_response({"status": "unhealthy" if sick else "healthy", "version": version})

    intake = Intake(scene.context, committed=lambda _: None, leasing=scene.worker.leasing)
    webhook = Endpoint(scene.context, intake, Counters(CollectorRegistry())).__call__
    served = web.Application()
    served.router.add_get("/health/services/{service}", health)
    served.router.add_post("/webhook/alertmanager", webhook)
    add_to(served, scene.context, queued=lambda: None)
    taking = asyncio.create_task(intake.run())
    async with TestServer(served, port=port):
        yield made
    taking.cancel()


async def test_a_version_goes_through_the_slot_into_production_and_is_promoted(world: World) -> None:
    code, said = await world.run()
    assert (code, world.live, world.swaps) == (0, "1.2.4", 1)
    assert said == "1.2.4 is promoted: proven good"
    assert await world.ledger() == [("1.2.4", "succeeded")]
    assert world.watched == [(2, "switched")]
    smoked = (world.folder / "smoked").read_text().splitlines()
    assert smoked == ["https://shop-slot.example.com", "https://shop.example.com"]
    assert [text.partition(":")[0] for text in world.said] == [
        "the gate is open",
        "deployment 2 of 1.2.4 begins; 1.2.3 ran before",
        "the version into the slot",
        "the slot",
        "the slot",
        "swapped",
        "production",
        "stage switched is watched",
        "production",
        "1.2.4 is promoted",
    ]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"into-slot.sh": "echo no room; exit 3"}, "the version into the slot: exit code 3: no room"),
        ({"into-slot.sh": "true"}, "the slot: not healthy within 9s: shop runs 1.2.2"),
        ({"smoke.sh": "echo 500; exit 1"}, "the slot: smoke test"),
        ({"swap.sh": "echo locked; exit 1"}, "the swap failed, and production runs 1.2.3: exit code 1: locked"),
    ],
)
async def test_what_fails_before_the_swap_leaves_production_alone(
    world: World, broken: dict[str, str], said: str
) -> None:
    for name, text in broken.items():
        world.script(name, text)
    code, why = await world.run()
    assert (code, world.live) == (1, "1.2.3")
    assert said in why
    assert await world.ledger() == [("1.2.4", "failed")]
    assert world.watched == []


async def test_a_version_that_is_unwell_in_production_is_swapped_back_by_the_receiver_once(world: World) -> None:
    (world.folder / "sick").write_text("live 1.2.4")
    code, why = await world.run()
    assert (code, world.live, world.swaps) == (1, "1.2.3", 2)
    assert why.startswith("production: not healthy within 2m")
    assert why.endswith("1.2.3 is back")
    assert await world.ledger() == [("1.2.4", "rolled_back"), ("1.2.3", "succeeded")]
    incident = await world.scene.incident()
    assert (incident.severity, incident.type) == ("critical", "deployment_failure")
    assert "is not well after the swap" in incident.title
    assert world.scene.channels["team"].messages
    await world.scene.after(timedelta(hours=1))
    assert (await world.scene.incident()).status is Status.RESOLVED
    assert world.swaps == 2


@pytest.mark.parametrize("world", [AZURE], indirect=True, ids=["azure"])
async def test_on_azure_the_slots_are_swapped_and_swapped_back_by_its_command_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.script("az", AZ)
    monkeypatch.setenv("PATH", f"{world.folder}:{os.environ['PATH']}")
    (world.folder / "sick").write_text("live 1.2.4")
    code, why = await world.run(swap=AZURE)
    assert (code, world.live, world.read("swaps").split()) == (1, "1.2.3", ["az", "az"]), why
    assert why.endswith("1.2.3 is back")


async def test_what_azures_command_line_refuses_is_told_in_its_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.script("az", AZ)
    monkeypatch.setenv("PATH", f"{world.folder}:{os.environ['PATH']}")
    code, why = await world.run(swap={"azure_slot_swap": {"resource_group": "shops", "app": "shpo"}})
    assert (code, world.live, world.swaps) == (1, "1.2.3", 0)
    assert "the swap failed" in why
    assert "(ResourceNotFound) The Resource was not found." in why


async def test_a_swap_that_says_it_is_done_and_did_nothing_is_not_swapped_back(world: World) -> None:
    world.script("swap.sh", "echo swapped >> swaps")
    code, why = await world.run()
    assert (code, world.live, world.swaps) == (1, "1.2.3", 1)
    assert why.endswith("production runs 1.2.3, and nothing is swapped back")
    assert await world.ledger() == [("1.2.4", "failed")]
    await world.scene.after(timedelta(hours=1))
    assert world.swaps == 1


async def test_smoke_tests_that_fail_in_production_bring_the_version_before_back(world: World) -> None:
    (world.folder / "broken").write_text("https://shop.example.com\n")
    code, why = await world.run()
    assert (code, world.live, world.swaps) == (1, "1.2.3", 2)
    assert "production: smoke test" in why


async def test_no_secret_that_a_smoke_test_is_given_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "found-by-its-name")
    monkeypatch.setenv("FROM_THE_VAULT", "filled-into-the-plan")
    world.script("smoke.sh", 'echo "$2 $SHOP_TOKEN"; ! grep -q 1.2.4 live')
    proof = {"health": {"url": f"{world.url}/health/services/shop", "healthy_for": "1s", "within": "9s"}}
    smoke = [str(world.folder / "smoke.sh"), "x", "${FROM_THE_VAULT}"]
    _, why = await world.run(production={**proof, "smoke": [smoke]}, variables=["SHOP_TOKEN"])
    assert "smoke.sh x ***: exit code 1: *** ***" in why
    told = [*world.said, *(message.body for message in world.scene.channels["team"].messages)]
    async with aiohttp.ClientSession() as http, http.get(f"{world.url}/api/v1/incidents/1") as answer:
        told.append(await answer.text())
    assert any("smoke.sh" in text for text in told)
    assert not [text for text in told if "found-by-its-name" in text or "filled-into-the-plan" in text]


async def test_where_the_receiver_does_not_go_back_it_is_said_and_a_person_told(world: World) -> None:
    world.script("swap.sh", 'cp slot between; cp live slot; cp between live; [ "$(cat live)" = 1.2.4 ]')
    (world.folder / "sick").write_text("live 1.2.4")
    code, why = await world.run()
    assert code == 1
    assert "the receiver did not go back within 2m: its incident says why; a person swaps back" in why
    assert any("rollback failed" in line for line in await world.scene.lines("rollback_failed"))


async def test_a_swap_that_says_it_failed_and_happened_all_the_same_is_watched(world: World) -> None:
    world.script("swap.sh", f"{SCRIPTS['swap.sh']}; exit 1")
    code, _ = await world.run()
    assert (code, world.live, world.swaps) == (0, "1.2.4", 1)
    assert any("production runs 1.2.4 all the same" in text for text in world.said)


@pytest.mark.parametrize(("code", "word"), [(3, "1,000 more requests"), (4, "Prometheus is away")])
async def test_a_hold_or_an_error_leaves_the_version_where_it_is_and_says_what_to_do(
    world: World, code: int, word: str
) -> None:
    world.verdict = (code, word)
    ended, why = await world.run()
    assert (ended, world.live, world.swaps) == (code, "1.2.4", 1)
    assert f"1.2.4 is in production, and is not promoted: {word}; deployments accept-hold 2" in why
    assert await world.ledger() == [("1.2.4", "running")]


async def test_what_production_runs_already_is_not_swapped_out_again(world: World) -> None:
    assert (await world.run())[0] == 0
    code, why = await world.run()
    assert (code, world.live, world.swaps) == (1, "1.2.4", 1)
    assert "production runs 1.2.4 already" in why


async def test_a_gate_that_is_closed_stops_it_before_anything_is_done(world: World) -> None:
    await world.scene.take(alert())
    code, why = await world.run()
    assert (code, world.live, world.swaps) == (1, "1.2.3", 0)
    assert "the gate is not open: closed\nno_open_incident: incident 1" in why
    assert await world.ledger() == []


async def test_what_another_program_answers_is_no_success(world: World) -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    other = web.Application()
    other.router.add_route("*", "/{path:.*}", anything)
    async with TestServer(other) as server:
        client = Client(str(server.make_url("/")).rstrip("/"))
        async with aiohttp.ClientSession() as http:
            means = Means(http, world.scene.clock, world.scene.clock.sleep)
            flow = Flow(plans.load(world.plan()), client, means, Asked("1.2.4", "", "ci"), lambda *_: (0, ""), print)
            with pytest.raises(UnreachableError, match="is no receiver: its answer lacks state, stages, checks"):
                await flow.run()
        with pytest.raises(UnreachableError, match="does not say that it has taken the alert"):
            await asyncio.to_thread(client.deliver, {})
    assert (world.live, world.read("slot")) == ("1.2.3", "1.2.2")


async def test_a_stage_that_the_verification_plan_does_not_have_is_found_before_anything_is_done(world: World) -> None:
    code, why = await world.run(stage="swapped")
    assert (code, world.swaps) == (2, 0)
    assert why == "stage: the verification plan has no stage 'swapped'; it has: switched"


async def test_sigterm_ends_the_command_that_runs_and_says_so(world: World) -> None:
    world.script("into-slot.sh", "echo $$ > running; sleep 600")
    program = [sys.executable, "-m", "deploywatch", "deployments", "--url", world.url, "slot-swap", str(world.plan())]
    process = await asyncio.create_subprocess_exec(*program, "--version", "1.2.4", stderr=subprocess.PIPE)
    async with asyncio.timeout(120):
        while not (number := world.read("running")):  # noqa: ASYNC110 - a file tells of no event
            await asyncio.sleep(0.05)
        process.terminate()
        _, said = await process.communicate()
    assert process.returncode == 4
    assert b"interrupted" in said
    assert not alive(int(number))
    assert await world.ledger() == [("1.2.4", "failed")]


def test_every_fault_of_a_plan_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "slots.yml"
    file.write_text(
        "service: shop\ndeploy: {command: [x, '{nobody}']}\nslot: {health: {url: ftp://x}}\nvariables: [NOT_SET_1]\n"
    )
    with pytest.raises(ConfigError) as caught:
        plans.load(file)
    text = str(caught.value)
    for fault in (
        "environment",
        "{nobody}",
        "write a URL that begins with http:// or https://",
        "swap",
        "production",
        "NOT_SET_1: not set in the environment",
    ):
        assert fault in text
    done = CliRunner().invoke(deployments, ["slot-swap", str(file), "--version", "1", "--check"], env=dict(os.environ))
    assert isinstance(done.exception, ConfigError)


def test_the_example_of_the_page_is_read_by_the_command(tmp_path: Path) -> None:
    assert EXAMPLE
    (tmp_path / "slots.yml").write_text(EXAMPLE[1])
    words = ["slot-swap", str(tmp_path / "slots.yml"), "--version", "1.2.4"]
    done = CliRunner().invoke(deployments, [*words, "--check"])
    assert (done.exit_code, done.output.partition(": ")[2]) == (0, "shop in production, stage switched\n")
    # Without an exporter and a receiver nothing is known, and nothing is done.
    away = CliRunner().invoke(deployments, ["--url", "http://127.0.0.1:1", *words])
    assert away.exit_code == 4
