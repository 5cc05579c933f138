"""Commands one after another, each only when those before it were good, all within one time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

from deploywatch.receiver.actions import command
from deploywatch.receiver.executors.plan import Means, Result, Values


def _word(text: str) -> str:
    if not text or text.startswith("-") or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: write one word that does not begin with -")
    command.check_template([text])
    return text


Word = Annotated[str, AfterValidator(_word)]
"""A parameter of a preset: one argument, never an option; `{service}` and the like are filled in."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Commands as argv, and the variables that each of them finds in its environment."""

    commands: tuple[tuple[str, ...], ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.variables.items()]
        return "; then ".join(" ".join((*settings, *argv)) for argv in self.commands)

    @property
    def programs(self) -> tuple[str, ...]:
        """The program of each step."""
        return tuple(dict.fromkeys(argv[0] for argv in self.commands))

    async def perform(self, means: Means, limit: timedelta) -> Result:
        """Run the steps until one is not good."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit.total_seconds()
        ran = command.Ran(0, "")
        for number, argv in enumerate(self.commands, 1):
            left = timedelta(seconds=max(end - loop.time(), 0))
            ran = await command.run(argv, left, variables=self.variables)
            if not ran.good:
                where = f"step {number} of {len(self.commands)}, {argv[0]}: " if len(self.commands) > 1 else ""
                return Result(good=False, detail=f"{where}{ran}")
        return Result(good=True, detail=str(ran))


def filled(commands: Iterable[Sequence[str]], values: Values, variables: Mapping[str, str] | None = None) -> Steps:
    """The steps with the values put in; ValueError for a value that could mean more than itself."""
    named = variables or {}
    texts = command.fill(list(named.values()), values)
    return Steps(tuple(tuple(command.fill(argv, values)) for argv in commands), dict(zip(named, texts, strict=True)))
