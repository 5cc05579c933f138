"""What an executor is about to do, as a value that can be shown: commands one after another, or a request to CI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from deploywatch.receiver.settings.placeholders import fill, filled

if TYPE_CHECKING:
    from deploywatch.receiver.settings.executors.http import Http

Values = Mapping[str, str]
"""What placeholders stand for; each value is checked before it goes anywhere."""


class Plan(Protocol):
    """Something to be done once; its text is what people are shown, without secrets."""

    def __str__(self) -> str: ...

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that must be there."""
        ...


class Executor(Protocol):
    """The settings of one way to do it."""

    def plan(self, values: Values, limit: timedelta) -> Plan:
        """The plan with these values filled in; ValueError for a value that could mean more than itself."""
        ...


@dataclass(frozen=True, slots=True)
class Steps:
    """Commands as argv, each run only when those before it were good, and the variables that each of them finds."""

    commands: tuple[tuple[str, ...], ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.variables.items()]
        return "; then ".join(" ".join((*settings, *argv)) for argv in self.commands)

    @property
    def programs(self) -> tuple[str, ...]:
        """The program of each step."""
        return tuple(dict.fromkeys(argv[0] for argv in self.commands))


@dataclass(frozen=True, slots=True)
class Call:
    """The request that is about to be made."""

    settings: Http
    values: Values

    def __str__(self) -> str:
        return f"POST {self.address(self.settings.url)} {json.dumps(filled(self.settings.body, self.values))}"

    @property
    def programs(self) -> tuple[str, ...]:
        """None."""
        return ()

    def address(self, url: str, run: str = "") -> str:
        """The URL with the values filled in, each quoted."""
        return url.format_map({name: quote(value, safe="") for name, value in {**self.values, "run": run}.items()})


def steps(commands: Iterable[Sequence[str]], values: Values, variables: Mapping[str, str] | None = None) -> Steps:
    """The steps with the values put in; ValueError for a value that could mean more than itself."""
    named = variables or {}
    texts = fill(list(named.values()), values)
    return Steps(tuple(tuple(fill(argv, values)) for argv in commands), dict(zip(named, texts, strict=True)))
