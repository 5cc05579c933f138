"""The exporter without its HTTP side: config, board and scheduler, started and reloaded together."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from deploywatch import logs
from deploywatch.clock import Clock, SystemClock
from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.exporter.board.board import Board
from deploywatch.exporter.board.lag import LOOP_BOUNDS, Lags, watch_loop
from deploywatch.exporter.config import ExporterSettings
from deploywatch.exporter.discovery.files import TargetFiles, together
from deploywatch.exporter.schedule import Scheduler
from deploywatch.exporter.settings.refusal import told
from deploywatch.exporter.targets import WHOLE, Shard, Target, targets
from deploywatch.files.watched_files import WATCHED
from deploywatch.plurals import number_of
from deploywatch.web import gc_tuning

log = logs.get("exporter")

# getaddrinfo blocks a thread; with the default of few, dead resolvers would hold up every other probe.
_RESOLVER_THREADS = 64
# Seconds until it is asked again whether a reload has brought files to look at.
_NOTHING_TO_LOOK_AT = 60.0
_SETTLING = 10.0
# Seconds: a rotated secret is used within one usual scrape interval.
_SECRETS_EVERY = 5.0


class Refused(StrEnum):
    """Why `/probe` probed nothing; the only words in the label `reason` of that counter."""

    CONCURRENCY = "concurrency"
    MODULE = "module"
    PER_SERVER = "per_server"


class Exporter:
    """Probes what the config file and its target files say, and keeps what was found."""

    def __init__(
        self, path: Path, settings: ExporterSettings, *, clock: Clock | None = None, shard: Shard = WHOLE
    ) -> None:
        self._path = path
        self._text = _text(path)
        self.clock = clock or SystemClock()
        self.board = Board(self.clock)
        self.scheduler = Scheduler(clock=self.clock, report=self.board.note)
        self.settings = settings
        self.shard = shard
        self.files = TargetFiles(settings)
        self.refused: Counter[Refused] = Counter()
        self.loop_lag = Lags(LOOP_BOUNDS)
        self._changing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = False
        self._began = False
        self.started = False
        """Whether every target that there was at the start has run once."""

    def start(self) -> None:
        """Begin to probe; needs a running event loop."""
        _raise_file_limit()
        # Look-ups of names that never answer hold a thread each.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_RESOLVER_THREADS, "exporter"))
        self.files.refresh()
        self._apply(self.settings, self.files, self._together(self.settings, self.files))
        self._begin(watch_loop(self.clock, self.loop_lag))
        self._begin(self._watch_files())
        self._begin(self._watch_secrets())
        self._begin(self._settle())

    async def stop(self) -> None:
        """Break off everything that is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.scheduler.stop()

    async def reload(self) -> None:
        """Take over the file as it is now; ConfigError, and nothing changed, when it has faults."""
        # A reload and a look at files each take over what they read; interleaved, the older could win.
        async with self._changing:
            # In a thread: to read a long file must not hold up the probes.
            self._apply(*await asyncio.to_thread(self._read))
            WATCHED.forget()

    async def refresh(self) -> None:
        """Take over the target files that have changed."""
        async with self._changing:
            if await asyncio.to_thread(self.files.refresh):
                targets = await asyncio.to_thread(self._together, self.settings, self.files)
                self._apply(self.settings, self.files, targets)
                log.info("targets taken over", files=len(self.files.known), probes=len(targets))

    def not_ready(self) -> str | None:
        """Why the exporter is not ready yet: the probes that have not run once since the start.

        Only the start counts: what a reload adds is unknown by itself, and takes nothing else along.
        """
        waiting = [] if self.started else list(self.board.waiting())
        if not waiting:
            self.started = self.started or self._began
            return None
        have = number_of(len(self.board.records), "probe has", "probes have")
        return f"{len(waiting)} of {have} not run yet, such as {'/'.join(waiting[0])}"

    def probes_by_layer(self) -> Counter[str]:
        """How many probes each layer has."""
        return Counter(record.target.layer for record in self.board.records.values())

    async def renew_secrets(self) -> None:
        """Take over secrets whose files have changed, with the config as it was when it was last taken over."""
        async with self._changing:
            if await asyncio.to_thread(WATCHED.changed):
                self._apply(*await asyncio.to_thread(self._built_anew))
                log.info("secrets taken over")

    def _built_anew(self) -> tuple[ExporterSettings, TargetFiles, list[Target]]:
        try:
            with WATCHED.reading():
                settings = config.load_text(self._text, self._path)
        except ConfigError:
            # Noted, else a faulty secret file would be read and logged again every few seconds.
            WATCHED.tried()
            raise
        return self._with_targets(settings)

    def _read(self) -> tuple[ExporterSettings, TargetFiles, list[Target]]:
        text = _text(self._path)
        with WATCHED.reading():
            settings = config.load(self._path)
        # Only once it was read without fault: secrets are renewed in the config that is in force.
        self._text = text
        return self._with_targets(settings)

    def _with_targets(self, settings: ExporterSettings) -> tuple[ExporterSettings, TargetFiles, list[Target]]:
        files = self.files.successor(settings)
        files.refresh()
        return settings, files, self._together(settings, files)

    def _together(self, settings: ExporterSettings, files: TargetFiles) -> list[Target]:
        return self.shard.of(together(list(targets(settings)), files.targets(), files.doubles))

    def _apply(self, settings: ExporterSettings, files: TargetFiles, targets: list[Target]) -> None:
        # Before the board changes: it notes for good that the start is over, which new targets must not undo.
        self.not_ready()
        self.board.set_up(targets, settings.dependencies(), settings.buckets)
        self.scheduler.apply(targets, concurrency=settings.concurrency, per_server=settings.per_server)
        self._tell_refused(settings)
        # Last, so that a fault above leaves in force what was.
        self.settings, self.files, self._began = settings, files, True
        for sentence in settings.unprobed_ports:
            log.warning("port not probed", entry=sentence)
        gc_tuning.put_aside(anew=True)
        self._settled = False

    def _tell_refused(self, settings: ExporterSettings) -> None:
        for name, problems in settings.refused.items():
            if not self._began or self.settings.refused.get(name) != problems:
                log.error("a module is refused, probes by it fail", module=name, reason=told(problems))

    async def _watch_files(self) -> None:
        while True:
            every = (entry.refresh.total_seconds() for entry in self.settings.discover)
            await self.clock.sleep(min(every, default=_NOTHING_TO_LOOK_AT))
            try:
                await self.refresh()
            except Exception:
                # A file that cannot be looked at now must not end the looking.
                log.exception("target files could not be taken over")

    async def _watch_secrets(self) -> None:
        while True:
            await self.clock.sleep(_SECRETS_EVERY)
            try:
                await self.renew_secrets()
            except Exception:
                # What is in force stays so.
                log.exception("secrets could not be taken over")

    async def _settle(self) -> None:
        """Once every probe has run since the last change, what they keep is there to stay."""
        while True:
            await self.clock.sleep(_SETTLING)
            if not self._settled and self.not_ready() is None and not any(self.board.waiting()):
                gc_tuning.put_aside()
                self._settled = True

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))


def _text(path: Path) -> str:
    """What a config file says; nothing when it cannot be read, which loading it tells."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _raise_file_limit() -> None:
    """Every probe under way holds a socket; the soft limit of 1024 that many systems have is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
