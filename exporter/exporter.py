"""The exporter without its HTTP side: config, board and scheduler, started and reloaded together."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exporter import config
from exporter.clock import Clock, SystemClock
from exporter.config import ExporterSettings
from exporter.measure.board import Board
from exporter.schedule import Scheduler
from exporter.targets import Target, targets

_RESOLVER_THREADS = 64


class Exporter:
    """Probes what the config file says, and keeps what was found."""

    def __init__(self, path: Path, settings: ExporterSettings, *, clock: Clock | None = None) -> None:
        self._path = path
        self.clock = clock or SystemClock()
        self.board = Board(self.clock)
        self.scheduler = Scheduler(clock=self.clock, report=self.board.note)
        self.settings = settings
        self._reloading = asyncio.Lock()

    def start(self) -> None:
        """Begin to probe; needs a running event loop."""
        _raise_file_limit()
        # Look-ups of names that never answer hold a thread each.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_RESOLVER_THREADS, "exporter"))
        self._apply(self.settings, list(targets(self.settings)))

    async def reload(self) -> None:
        """Take over the file as it is now; ConfigError, and nothing changed, when it has faults."""
        async with self._reloading:
            # In a thread: to read a long file must not hold up the probes.
            settings = await asyncio.to_thread(config.load, self._path)
            self._apply(settings, await asyncio.to_thread(lambda: list(targets(settings))))

    def not_ready(self) -> str | None:
        """Why the exporter is not ready yet: the probes that have not run once."""
        waiting = list(self.board.waiting())
        if not waiting:
            return None
        return f"{len(waiting)} of {len(self.board.records)} probes have not run yet, such as {'/'.join(waiting[0])}"

    def probes_by_layer(self) -> Counter[str]:
        """How many probes each layer has."""
        return Counter(record.target.layer for record in self.board.records.values())

    def _apply(self, settings: ExporterSettings, found: list[Target]) -> None:
        self.board.set_up(found, settings.dependencies(), settings.buckets)
        self.scheduler.apply(found, concurrency=settings.concurrency)
        self.settings = settings


def _raise_file_limit() -> None:
    """Every probe under way holds a socket; the soft limit of 1024 that many systems have is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
