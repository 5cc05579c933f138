"""An executor or an action that was half added fails at import, and says what is left to do."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import ClassVar

import pytest

from deploywatch.receiver.actions import attachments
from deploywatch.receiver.actions import registry as actions
from deploywatch.receiver.executors import registry
from deploywatch.receiver.settings.executors import plan, presets, scaling
from deploywatch.receiver.settings.executors.choice import Choice, RollbackChoice, ScaleChoice, unchosen
from deploywatch.receiver.settings.executors.presets import Azd


class Nomad(Azd):
    """A job of Nomad's."""


def test_an_executor_that_no_config_can_choose_is_told_with_what_to_do() -> None:
    module = ModuleType(__name__)
    vars(module)["Nomad"] = Nomad
    (fault,) = unchosen([presets, scaling, module], [RollbackChoice, ScaleChoice])
    assert fault.startswith(f"{__name__}: no config can choose the executor Nomad: give it a field")


def test_a_field_that_is_no_way_is_told_with_what_to_do() -> None:
    with pytest.raises(TypeError, match="Forgetful: nomad is a field and no way; add its name to `ways`"):

        class Forgetful(Choice):
            nomad: Nomad | None = None

    class Complete(Choice):
        ways: ClassVar[tuple[str, ...]] = (*Choice.ways, "nomad")
        nomad: Nomad | None = None

    assert unchosen([presets], [Complete, RollbackChoice]) == []


def test_a_plan_that_nobody_carries_out_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = type("Wish", (), {"programs": ()})
    monkeypatch.setattr(plan, "Wish", wish, raising=False)
    with pytest.raises(TypeError, match=r"nobody carries out Wish: add its executor to EXECUTORS in executors/reg"):
        importlib.reload(registry)


def test_an_action_that_is_not_listed_fails_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "ACTION", object(), raising=False)
    with pytest.raises(TypeError, match=r"actions\.attachments declares an ACTION that is not listed: add it to _DECL"):
        importlib.reload(actions)
