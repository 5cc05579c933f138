"""One shot: probe every target once, and tell how each is, as a table for people or JSON for scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exporter.clock import Clock
from exporter.health import ProbeHealth, Status, services
from exporter.probing import run
from exporter.targets import Target


@dataclass(frozen=True, slots=True)
class Checked:
    """What one shot found."""

    probes: tuple[ProbeHealth, ...]

    @property
    def well(self) -> bool:
        """Whether every probe succeeded."""
        return all(probe.status is Status.HEALTHY for probe in self.probes)

    def json(self) -> str:
        """The services with their probes, in the form of the health answers."""
        found = services(self.probes, {})
        body = {"status": "healthy" if self.well else "unhealthy", "services": [one.body() for one in found.values()]}
        return json.dumps(body, indent=2, ensure_ascii=False)

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("Service", "Environment", "Probe", "Kind", "Status", "Time", "Reason"):
            table.add_column(title, justify="right" if title == "Time" else "left", overflow="fold")
        for probe in self.probes:
            table.add_row(*map(Text, _cells(probe)), style=None if probe.status is Status.HEALTHY else "red")
        console.print(table)
        bad = sum(probe.status is not Status.HEALTHY for probe in self.probes)
        console.print(f"{len(self.probes) - bad} of {len(self.probes)} probes succeeded", highlight=False)


async def check(targets: Sequence[Target], *, concurrency: int, clock: Clock) -> Checked:
    """Run each target once, at most `concurrency` at a time."""
    slots = asyncio.Semaphore(concurrency)

    async def one(target: Target) -> ProbeHealth:
        async with slots:
            result = await run(target.probe, limit=target.timeout, clock=clock)
        return ProbeHealth(target.key, target.kind, result)

    return Checked(tuple(await asyncio.gather(*map(one, targets))))


def _cells(probe: ProbeHealth) -> list[str]:
    result = probe.result
    if result is None:
        return [*probe.key, probe.kind, str(probe.status), "", ""]
    reason = f"{result.reason}: {result.detail}" if result.reason else ""
    return [*probe.key, probe.kind, str(probe.status), f"{result.duration * 1000:.1f} ms", reason]
