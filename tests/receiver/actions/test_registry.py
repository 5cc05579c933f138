"""The set of actions is complete: each has a name, a module, a page with an example that loads, and can be queued."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from deploywatch import receiver
from deploywatch.errors import ConfigError
from deploywatch.receiver.actions.registry import ACTIONS, HANDLERS
from deploywatch.receiver.settings.config import ReceiverConfig, load
from deploywatch.receiver.settings.strategy import ActionName
from tests.receiver.scene import Scene, alert

PAGES = Path(__file__).parents[3] / "docs" / "actions"
NAMES = get_args(ActionName)


def test_every_action_that_a_strategy_may_name_can_be_queued() -> None:
    assert set(ACTIONS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_action_has_a_module_of_its_name(name: str) -> None:
    rooms = Path(receiver.__file__).parent
    places = ("actions", "actions/rollback", "notify", "escalation")
    (module,) = [file for place in places for file in rooms.glob(f"{place}/{name}.py")]
    first = module.read_text().splitlines()[0]
    assert first.startswith('"""')
    assert name == "log" or name in HANDLERS or name == "notify"


@pytest.mark.parametrize("name", NAMES)
def test_each_action_has_a_page_whose_examples_load(name: str, tmp_path: Path) -> None:
    page = (PAGES / f"{name}.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yml"
        file.write_text(example)
        (tmp_path / "github.token").write_text("a-token")
        (tmp_path / "approval.key").write_text("0123456789abcdef")
        assert isinstance(load(file), ReceiverConfig)


async def test_an_action_that_is_none_is_refused_with_the_nearest(scene: Scene) -> None:
    await scene.take(alert(action="{{ 7*7 }}rolback"))
    (line,) = await scene.lines("action_refused")
    assert line.startswith("action '{{ 7*7 }}rolback', asked for by HighErrorRate, is not one of this receiver's")


def test_an_unknown_action_is_refused_when_the_config_loads(tmp_path: Path) -> None:
    file = tmp_path / "receiver.yml"
    file.write_text("strategy: {severities: {high: {immediate: [notify, scales]}}}\n")
    with pytest.raises(ConfigError, match="'scales' is no action; did you mean 'scale'"):
        load(file)
