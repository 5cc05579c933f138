"""Checks that the programs which actions start are installed: when the config is checked, not when they are needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

from deploywatch.receiver.settings.actions import ActionSettings
from deploywatch.receiver.settings.executors.choice import Choice

Which = Callable[[str], str | None]


def missing(settings: ActionSettings, which: Which = shutil.which) -> list[str]:
    """A sentence for each program that is not found on this machine, with where it is configured."""
    return [
        f"{place}: there is no program {program} on this machine; install it, or give its path"
        for place, choice in _choices(settings)
        for program in choice.programs
        if which(program) is None
    ]


def _choices(settings: ActionSettings) -> Iterator[tuple[str, Choice]]:
    for number, target in enumerate(settings.rollback.targets):
        yield f"rollback.targets[{number}]", target
    for number, scaled in enumerate(settings.scale.targets):
        yield f"scale.targets[{number}]", scaled
    for number, run in enumerate(settings.run):
        yield f"run[{number}]", run
    for number, log in enumerate(settings.investigate.logs):
        yield f"investigate.logs[{number}]", log
