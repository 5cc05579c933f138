"""Tells on a console what happens while it happens: each step says what it waits for, how long, and whose log tells
why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from rich.console import Console
from rich.markup import escape

from deploywatch.demo.processes import StartError
from deploywatch.demo.stage import Stage
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.terminal import clean

_POLL_SECONDS = 0.25
_INDENT = " " * 10

Look = Callable[[], Awaitable[str | None]]


class StepError(StartError):
    """A step did not come in its time; the message says which and shows the log lines that matter."""


@dataclass(slots=True)
class Narrator:
    """Tells the demo's story on a console, and asks the parts that it is about."""

    stage: Stage
    console: Console
    session: aiohttp.ClientSession
    began: float = field(default_factory=time.monotonic)

    async def wait(self, what: str, look: Look, *, within: float, logs: tuple[str, ...]) -> None:
        """Look until there is something to say; StepError after `within` seconds, with the ends of these logs."""
        deadline = time.monotonic() + within
        with self.console.status(f"waiting until {what}"):
            while True:
                try:
                    seen, trouble = await look(), "it has not come"
                except (UnreachableError, aiohttp.ClientError, TimeoutError) as error:
                    seen, trouble = None, str(error)
                if seen is not None:
                    break
                if time.monotonic() > deadline:
                    raise self.failure(what, within, trouble, logs)
                await asyncio.sleep(_POLL_SECONDS)
        self.done(f"{what}: {seen}" if seen else what)

    def failure(self, what: str, within: float, trouble: str, logs: tuple[str, ...]) -> StepError:
        """The error that names a step that did not come."""
        # The last lines of those that this step depends on: whoever sees a demo fail should not have to search.
        children = [child for child in self.stage.processes.children if child.name in logs]
        ended = [f"{c.name} has ended with code {c.process.returncode}" for c in children if not c.running]
        tails = [f"--- {child.log}\n{child.tail()}" for child in children]
        return StepError("\n".join((f"not within {within:g} s: {what}; {trouble}", *ended, *tails)))

    async def get(self, name: str, path: str, *, good: tuple[int, ...] = (200,)) -> Any:
        """The JSON that a part answers; UnreachableError for a status that is not `good`."""
        async with self.session.get(self.stage.url(name) + path) as response:
            if response.status not in good:
                raise UnreachableError(f"{name} answered {path} with {response.status}")
            return await response.json()

    def prometheus(self) -> Prometheus:
        """The demo's Prometheus."""
        return Prometheus(self.stage.url("prometheus"), self.session)

    def incident(self, number: int = 1) -> Look:
        """Looks whether an incident is open, and gives its title."""

        async def look() -> str | None:
            for incident in await self.get("receiver", "/api/v1/incidents"):
                if incident["id"] == number:
                    return f"#{number}, {incident['severity']}: {incident['title']}"
            return None

        return look

    def line(self, kind: str, number: int = 1) -> Look:
        """Looks for a line of an incident's timeline."""

        async def look() -> str | None:
            incident = await self.get("receiver", f"/api/v1/incidents/{number}")
            return next((entry["text"] for entry in incident["timeline"] if entry["kind"] == kind), None)

        return look

    def told(self, number: int = 1) -> Look:
        """Looks whether every channel was told how an incident ended."""

        async def look() -> str | None:
            incident = await self.get("receiver", f"/api/v1/incidents/{number}")
            lines = incident["timeline"]
            end = next(place for place, line in enumerate(lines) if line["kind"] == "resolved")
            channels = {line["text"].partition(":")[0] for line in lines[end:] if line["kind"] == "told"}
            # All of them: a message to one channel may be on its way while another has arrived.
            return ", ".join(sorted(channels)) if channels >= set(incident["channels"]) else None

        return look

    def act(self, text: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{escaped(text)}[/bold]")

    def done(self, text: str) -> None:
        """Something has come."""
        self.console.print(f"{self._time()} [green]✓[/green] {escaped(text)}")

    def say(self, text: str) -> None:
        """A remark."""
        self.console.print(f"{self._time()}   {escaped(text)}")

    def quote(self, text: str) -> None:
        """What a command has printed, as it is."""
        for line in text.rstrip().splitlines():
            self.console.print(f"{_INDENT}[dim]│[/dim] {escaped(line)}")

    def _time(self) -> str:
        return f"[dim]{time.monotonic() - self.began:6.1f}s[/dim]"


def escaped(text: str) -> str:
    """The text as it may stand within markup of ours, which shows exactly its characters."""
    return escape(clean(text))
