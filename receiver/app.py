"""Puts the receiver together: store, worker, intake and HTTP, in the order in which they depend on each other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from deploywatch import config, garbage, logs
from deploywatch.clock import utc_now
from deploywatch.serving import Server
from deploywatch.webconfig import Access
from receiver import api, retention
from receiver.actions import handlers
from receiver.actions.rollback import approval
from receiver.actions.telling import notify
from receiver.channels import connect
from receiver.config import ReceiverConfig, load
from receiver.deployments import announce
from receiver.desk import Desk
from receiver.intake import slack_buttons, webhook
from receiver.intake.ingest import Taken
from receiver.intake.slack_buttons import SlackButtons
from receiver.jobs import Handler, Job, Outcome, release_all
from receiver.messages import Channel
from receiver.metrics import Counters, snapshot
from receiver.pages import Pages
from receiver.people import handlers as people
from receiver.people import resolution
from receiver.rendering.templates import Templates
from receiver.store import Store, StoreError
from receiver.upstream.reconcile import Lost
from receiver.upstream.rounds import compare_for_ever, listen_for_ever
from receiver.worker import Worker

log = logs.get("receiver")

HANDLERS = {
    **handlers.HANDLERS,
    **people.HANDLERS,
    announce.KIND: announce.handle,
    resolution.SETTLE: resolution.settle,
    resolution.POSTMORTEM: resolution.draft,
}
_STOP_SECONDS = 30.0


class Receiver:
    """One receiver: call `serve`, and it runs until it is told to stop."""

    def __init__(self, file: Path, settings: ReceiverConfig, desk: Desk) -> None:
        self._file = file
        self._desk = desk
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no annotation here
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._counters = Counters(self.registry)
        by_kind: dict[str, Handler] = {kind: partial(handle, desk) for kind, handle in HANDLERS.items()}
        owner = f"{socket.gethostname()}:{os.getpid()}"
        # What SQLite's one process has in hand nobody takes over.
        fenced = frozenset() if desk.store.is_sqlite else frozenset({notify.KIND})
        self.worker = Worker(desk.store, by_kind, owner=owner, clock=desk.clock, fenced=fenced)
        self.worker.finished = self._job_finished
        self.intake = webhook.Intake(desk, committed=self._committed)
        self._max_body = settings.max_body
        self._ready = "starting"

    async def serve(self, listen: str, access: Access) -> None:
        """Open the store, start working, and serve until SIGTERM."""
        server = Server(
            name="receiver",
            listen=listen,
            access=access,
            registry=self.registry,
            ready=lambda: self._ready,
            reload=self._reload,
            max_body=self._max_body,
            acts=True,
            # Signed links bear their own proof.
            open_paths=frozenset({approval.PAGE, slack_buttons.PATH}),
        )
        self._add_routes(server.app)
        server.app.cleanup_ctx.append(self._working)
        await server.run()

    def _add_routes(self, app: web.Application) -> None:
        endpoint = webhook.Endpoint(self._desk, self.intake, self._counters)
        app.router.add_post("/webhook/alertmanager", endpoint.__call__)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/config", self._config)
        Pages(self._desk).add_to(app)
        app.router.add_post(slack_buttons.PATH, SlackButtons(self._desk, queued=self.worker.wake).__call__)
        api.add_to(app, self._desk, queued=self.worker.wake)

    async def _working(self, _: web.Application) -> AsyncIterator[None]:
        """Around the serving: the store is open, jobs are worked on, deliveries are committed."""
        desk = self._desk
        await desk.store.open()
        if desk.store.is_sqlite:
            await desk.store.write(lambda connection: release_all(connection, desk.clock()))
        pruning = retention.prune_for_ever(desk, lost=self.intake.recall.lose)
        runs = (self.worker.run(), self.worker.keep_leases(), self.intake.run(), pruning, *self._rounds())
        tasks = [asyncio.create_task(run) for run in runs]
        self._ready = ""
        garbage.put_aside()
        yield
        await self.worker.stop(_STOP_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in desk.channels.values():
            await channel.close()
        await desk.store.close()
        await desk.http.close()

    def _rounds(self) -> tuple[Coroutine[Any, Any, None], ...]:
        accept = self.intake.accept
        return compare_for_ever(self._desk, accept, self._healed), listen_for_ever(self._desk, accept)

    def _healed(self, lost: Counter[Lost]) -> None:
        for reason, count in lost.items():
            self._counters.healed.labels(reason).inc(count)
        self.worker.wake()

    async def _reload(self) -> None:
        """Take over the file as it is now, except for the database and the body limit, which need a restart."""
        settings = load(self._file)
        channels = connect_all(settings)
        templates = Templates(settings.templates)
        before = self._desk.channels
        self._desk.settings, self._desk.channels, self._desk.templates = settings, channels, templates
        for channel in before.values():
            await channel.close()

    def _committed(self, taken: Taken) -> None:
        self._counters.decided(taken.reasons)
        if taken.queued:
            self.worker.wake()

    def _job_finished(self, job: Job, outcome: Outcome) -> None:
        self._counters.finished(job, outcome)
        log.info("job", kind=job.kind, incident=job.incident_id, outcome=outcome.state, note=outcome.note)

    async def _metrics(self, _: web.Request) -> web.Response:
        try:
            now = self._desk.clock()
            read = await self._desk.store.read(lambda connection: snapshot(connection, now))
        except StoreError as error:
            return web.Response(status=503, text=f"{error}\n")
        ledger = CollectorRegistry()
        ledger.register(read)
        body = generate_latest(self.registry) + generate_latest(ledger)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response(config.redacted(self._desk.settings))


def connect_all(settings: ReceiverConfig) -> dict[str, Channel]:
    """Every configured channel, by its name."""
    return {name: connect(name, one) for name, one in settings.channels.items()}


async def run(file: Path, listen: str, web_config: Path | None) -> None:
    """Read the configuration and serve."""
    settings = load(file)
    access = Access(web_config)
    desk = Desk(
        settings=settings,
        store=Store(settings.database.get_secret_value()),
        templates=Templates(settings.templates),
        channels=connect_all(settings),
        http=aiohttp.ClientSession(),
        clock=utc_now,
    )
    try:
        await Receiver(file, settings, desk).serve(listen, access)
    finally:
        await desk.http.close()
