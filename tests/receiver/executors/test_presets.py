"""Presets: each runs the tool with exactly its arguments and variables, and whatever the tool does is told."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploywatch.clock import utc_now
from deploywatch.receiver.executors import registry
from deploywatch.receiver.executors.plan import Means, Result
from deploywatch.receiver.settings.executors.choice import RollbackChoice, ScaleChoice
from tests.receiver.scene import MINUTE, until

VALUES = {
    "service": "shop",
    "environment": "production",
    "from_version": "1.2.3",
    "to_version": "1.2.2",
    "id": "deploywatch-1-2-20260501120000",
}
COMPOSE = {"file": "/srv/shop/compose.yml", "service": "shop", "variable": "SHOP_VERSION"}
KUBECTL = {"deployment": "shop", "namespace": "shops", "container": "app", "image": "registry.example:5000/shop"}
SWAP = {"resource_group": "shops", "app": "shop"}
AZD = {"project": "/srv/shop", "service": "web", "image": "registry.example/shop"}
PARAMETERS = {"kubectl": KUBECTL, "azure_slot_swap": SWAP, "azd": AZD}
ROLLBACKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kubectl": (
        {"kubectl": {**KUBECTL, "context": "blue"}},
        [
            "kubectl --context blue --namespace shops set image deployment/shop app=registry.example:5000/shop:1.2.2",
            "kubectl --context blue --namespace shops rollout status deployment/shop --timeout=58s",
        ],
    ),
    "docker compose": (
        {"docker_compose": COMPOSE},
        ["docker compose --file /srv/shop/compose.yml up --detach --no-deps shop"],
    ),
    "docker-compose": (
        {"docker_compose": {**COMPOSE, "program": ["docker-compose"], "project": "shops"}},
        ["docker-compose --file /srv/shop/compose.yml --project-name shops up --detach --no-deps shop"],
    ),
    "helm rollback": (
        {"helm": {"release": "shop", "namespace": "shops"}},
        ["helm rollback shop --namespace shops --wait --timeout 58s"],
    ),
    "helm upgrade": (
        {"helm": {"release": "shop", "chart": "charts/shop"}},
        [
            (
                "helm upgrade shop charts/shop --reuse-values --set-string image.tag=1.2.2 "
                "--namespace default --wait --timeout 58s"
            )
        ],
    ),
    "az webapp": (
        {"azure_slot_swap": SWAP},
        ["az webapp deployment slot swap --resource-group shops --name shop --slot staging --target-slot production"],
    ),
    "azd": (
        {"azd": AZD},
        [
            (
                "azd deploy web --from-package registry.example/shop:1.2.2 --cwd /srv/shop "
                "--environment production --no-prompt"
            )
        ],
    ),
}
SCALES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kubectl": (
        {"kubectl": {"deployment": "{service}", "namespace": "shops"}},
        [
            "kubectl --namespace shops scale deployment/shop --replicas=6",
            "kubectl --namespace shops rollout status deployment/shop --timeout=58s",
        ],
    ),
    "docker compose": (
        {"docker_compose": {"file": "compose.yml", "service": "shop"}},
        ["docker compose --file compose.yml up --detach --no-deps --no-recreate --scale shop=6 shop"],
    ),
    "az appservice": (
        {"azure": {"resource_group": "shops", "app_service_plan": "plan"}},
        ["az appservice plan update --resource-group shops --name plan --number-of-workers 6"],
    ),
}
PRESETS: dict[str, tuple[RollbackChoice | ScaleChoice, list[str]]] = {
    **{f"rollback by {name}": (RollbackChoice.model_validate(one), calls) for name, (one, calls) in ROLLBACKS.items()},
    **{f"scale by {name}": (ScaleChoice.model_validate(one), calls) for name, (one, calls) in SCALES.items()},
}
RECORD = """#!{python} -S
import json, os, sys
with open({file!r}, "a") as record:
    said = {{"argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "version": os.environ.get("SHOP_VERSION")}}
    print(json.dumps(said | {{"stdin": sys.stdin.read(), "group": os.getpgid(0)}}), file=record)
{then}
"""
BEHAVIOURS = {
    "fails": ("sys.exit('error: no such thing')", "exit code 1: error: no such thing"),
    "dies": ("os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
    "hangs": ("import time; os.fork(); print('waiting', flush=True); time.sleep(600)", "was ended at its time limit"),
}


@dataclass(slots=True)
class Tools:
    """A folder of programs that note how they were called, and then behave in some way."""

    folder: Path

    def behave(self, then: str = "") -> None:
        """From now on, every tool does this after noting its call."""
        for name in ("kubectl", "docker", "docker-compose", "helm", "az", "azd"):
            tool = self.folder / name
            tool.write_text(RECORD.format(python=sys.executable, file=str(self.folder / "calls"), then=then))
            tool.chmod(0o755)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Every call so far."""
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    made = Tools(folder)
    made.behave()
    return made


async def perform(choice: RollbackChoice | ScaleChoice, limit: timedelta = MINUTE) -> Result:
    """Do what the settings say, as the action does."""

    async def sleep(_: float) -> None:
        raise AssertionError("a command needs no pauses")

    plan = choice.plan({**VALUES, "replicas": "6"} if isinstance(choice, ScaleChoice) else VALUES)
    async with aiohttp.ClientSession() as http:
        return await registry.perform(plan, Means(http, utc_now, sleep, ("KUBECONFIG", "DOCKER_HOST")), limit)


@pytest.mark.parametrize("name", ROLLBACKS)
async def test_a_rollback_preset_calls_its_tool_so(tools: Tools, name: str) -> None:
    written, commands = ROLLBACKS[name]
    result = await perform(RollbackChoice.model_validate({**written, "timeout": "60s"}))
    assert result == Result(good=True, detail="exit code 0")
    assert [" ".join(call["argv"]) for call in tools.calls] == commands
    assert {call["stdin"] for call in tools.calls} == {""}
    assert os.getpgid(0) not in {call["group"] for call in tools.calls}
    variable = "1.2.2" if "docker_compose" in written else None
    assert {call["version"] for call in tools.calls} == {variable}


@pytest.mark.parametrize("name", SCALES)
async def test_a_scale_preset_calls_its_tool_so(tools: Tools, name: str) -> None:
    written, commands = SCALES[name]
    assert (await perform(ScaleChoice.model_validate({**written, "timeout": "60s"}))).good
    assert [" ".join(call["argv"]) for call in tools.calls] == commands


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("name", PRESETS)
async def test_what_a_tool_does_is_told_and_later_steps_are_not_run(tools: Tools, name: str, behaviour: str) -> None:
    choice, commands = PRESETS[name]
    then, said = BEHAVIOURS[behaviour]
    tools.behave(then)
    result = await perform(choice, timedelta(seconds=1) if behaviour == "hangs" else MINUTE)
    if not tools.calls:  # a slow machine had not started it
        result = await perform(choice, timedelta(seconds=30))
    where = "step 1 of 2, kubectl: " if len(commands) > 1 else ""
    assert not result.good
    assert result.known
    assert result.detail.startswith(where + said)
    assert len(tools.calls) == 1
    group = tools.calls[0]["group"]
    await until(lambda: not _alive(group))


@pytest.mark.parametrize("name", PRESETS)
async def test_of_100_mb_of_output_the_end_is_kept(tools: Tools, name: str) -> None:
    tools.behave("for _ in range(100): os.write(1, b'x' * 1_000_000)\nprint('\\nthe end')")
    result = await perform(PRESETS[name][0])
    assert result.good
    assert result.detail.endswith("the end")
    assert len(result.detail) < 70_000


async def test_the_time_limit_is_that_of_all_steps_together(tools: Tools) -> None:
    async def slow(seconds: float) -> Result:
        tools.behave(f"import time; time.sleep({seconds})")
        choice = RollbackChoice.model_validate({"kubectl": KUBECTL})
        return await perform(choice, timedelta(seconds=1.8 * seconds))

    result = await slow(1)
    if "step 1" in result.detail:  # a slow machine was slow to start it
        result = await slow(20)
    assert result.detail.startswith("step 2 of 2, kubectl: was ended at its time limit")


def test_what_will_be_done_is_shown_with_its_variables() -> None:
    plan = RollbackChoice.model_validate({"docker_compose": COMPOSE}).plan(VALUES)
    assert str(plan).startswith("SHOP_VERSION=1.2.2 docker compose --file /srv/shop/compose.yml up")


HOSTILE = ("--force", "1; id", "$(id)", "../../etc/passwd", "1\n2", "{{7*7}}", "{to_version}", "1,image.tag=2", "")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ROLLBACKS)
def test_no_preset_takes_a_version_that_could_mean_more(name: str, value: str) -> None:
    choice = RollbackChoice.model_validate(ROLLBACKS[name][0])
    with pytest.raises(ValueError, match="has characters that are not passed to a command"):
        choice.plan({**VALUES, "to_version": value})


@pytest.mark.parametrize(
    ("preset", "parameter"),
    [
        (preset, name)
        for preset, given in (("kubectl", KUBECTL), ("azure_slot_swap", SWAP), ("azd", AZD))
        for name in given
    ],
)
@pytest.mark.parametrize("value", ["--kubeconfig=/tmp/evil", "", "a b", "a\nb", "{version}"])
def test_no_parameter_is_an_option_or_several_words(preset: str, parameter: str, value: str) -> None:
    with pytest.raises(ValueError, match=parameter):
        RollbackChoice.model_validate({preset: {**PARAMETERS[preset], parameter: value}})


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
