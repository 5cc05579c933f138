"""The demo, run once for all tests of dashboards: a good deployment, a bad one, its incident and its rollback."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from deploywatch.demo.narrator import Narrator
from deploywatch.demo.processes import Processes
from deploywatch.demo.stage import Stage
from deploywatch.demo.story import Story
from tests.grafana.asking import Shown
from tests.support.processes import poll

FIRING = 'ALERTS{alertname="HighErrorRate",alertstate="firing"}'


@pytest.fixture(scope="session")
def demo(workshop: Path) -> Iterator[Shown]:
    """The demo's own Prometheus when its story is told, about 50 seconds later; then the shop goes away."""
    folder = workshop / "dashboards"
    start = time.time()
    with Processes(folder / "logs") as processes:
        stage = Stage(folder, processes, {})
        asyncio.run(_tell(stage))
        url = stage.url("prometheus")

        def until(query: str) -> None:
            """Wait until Prometheus has scraped what happened."""
            poll(lambda: Shown(url, start, start, start).once(query, time.time()) or None, within=90, what=query)

        until("sum(deploywatch_incidents_open) == 0")
        next(child for child in processes.children if child.name == "shop").stop()
        until("probe_failure_info")
        end = time.time() + 1  # the step after
        (firing,) = Shown(url, start, start, end).over_time(FIRING)
        times = [at for at, _ in firing["values"]]
        yield Shown(url, start, times[len(times) // 2], end)


async def _tell(stage: Stage) -> None:
    async with aiohttp.ClientSession() as session:
        await Story(Narrator(stage, Console(file=io.StringIO()), session)).tell()
