"""Puts the receiver together: store, worker, intake and HTTP, in the order in which they depend on each other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from itertools import product
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
from sqlalchemy import Connection

from deploywatch import config, logs
from deploywatch.access.scopes import Scope, needs
from deploywatch.access.webconfig import Access
from deploywatch.clock import utc_now
from deploywatch.pages.live import Live
from deploywatch.pages.static import STATIC_PATHS
from deploywatch.receiver import api, retention
from deploywatch.receiver.actions import registry
from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.announcements.announced import Became, Source
from deploywatch.receiver.announcements.webhooks import SIGNED_PATHS, Announcements
from deploywatch.receiver.api.screens import SCREEN
from deploywatch.receiver.assessment import assessor
from deploywatch.receiver.channels import connect_all
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import announce
from deploywatch.receiver.events import deliver, outbox
from deploywatch.receiver.events.sinks import Sinks
from deploywatch.receiver.incidents import recheck
from deploywatch.receiver.intake import migration_alert, pagerduty_webhook, slack_buttons, webhook
from deploywatch.receiver.intake import recheck as rechecked
from deploywatch.receiver.intake.ingest import Taken
from deploywatch.receiver.intake.pagerduty_webhook import PagerDutyWebhook
from deploywatch.receiver.intake.slack_buttons import SlackButtons
from deploywatch.receiver.jobs.claim import release_all
from deploywatch.receiver.jobs.job import Job, State
from deploywatch.receiver.jobs.retry import Handler, Outcome
from deploywatch.receiver.jobs.worker import POLL_SECONDS, Worker
from deploywatch.receiver.lifecycle import handlers as people
from deploywatch.receiver.lifecycle import reconfigured, resolution
from deploywatch.receiver.metrics import Counters, StoreFailures
from deploywatch.receiver.notify import delivery_results, overtaken, taking_link
from deploywatch.receiver.notify.queueing import KIND
from deploywatch.receiver.pages import Pages
from deploywatch.receiver.pages.wall import SCREEN_LIVE
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.sign_in.local_path import SIGN_IN, SIGN_OUT
from deploywatch.receiver.sign_in.people import People
from deploywatch.receiver.sign_in.routes import SignInRoutes
from deploywatch.receiver.store import Store, StoreError
from deploywatch.receiver.stored_metrics import snapshot
from deploywatch.receiver.upstream.reconcile import Lost
from deploywatch.receiver.upstream.rounds import compare_for_ever, listen_for_ever
from deploywatch.receiver.verification import verdict_alert, watcher
from deploywatch.web import gc_tuning
from deploywatch.web.prefix import NOT_SAID, External
from deploywatch.web.serving import Server

log = logs.get("receiver")

HANDLERS = {
    **registry.HANDLERS,
    **people.HANDLERS,
    announce.KIND: announce.handle,
    recheck.KIND: rechecked.handle,
    recheck.STILL_FIRING: rechecked.still_firing,
    resolution.SETTLE: resolution.settle,
    resolution.POSTMORTEM: resolution.draft,
    watcher.KIND: watcher.handle,
    assessor.KIND: assessor.handle,
    verdict_alert.KIND: verdict_alert.handle,
    migration_alert.KIND: migration_alert.handle,
}
WEBHOOKS = ("/webhook/alertmanager", "/webhook/alertmanager/")
# Kubernetes kills 30 s after it asks for an end, by default.
_STOP_SECONDS = 30.0
_SIGNED = SIGNED_PATHS | {approval.PAGE, taking_link.PAGE, slack_buttons.PATH, pagerduty_webhook.PATH}
_OWN_PROOF = _SIGNED | {SCREEN, SCREEN_LIVE}


class Receiver:
    """One receiver: call `serve`, and it runs until it is told to stop."""

    def __init__(
        self,
        read: Callable[[], ReceiverConfig],
        settings: ReceiverConfig,
        context: Context,
        external: External = NOT_SAID,
    ) -> None:
        """`read` gives the configuration as it is now, for a reload."""
        self._read = read
        self._external = external
        self._context = context
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no annotation here
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._counters = Counters(self.registry)
        self.registry.register(StoreFailures(context.store.failures))
        self._counters.know(context.channels)
        self._counters.know_sinks(settings.events.sinks)
        self._sinks = Sinks(settings.events)
        by_kind: dict[str, Handler] = {kind: partial(handle, context) for kind, handle in HANDLERS.items()}
        owner = f"{socket.gethostname()}:{os.getpid()}"
        # What SQLite's one process has in hand nobody takes over.
        # Deliveries are looked at once more before they are sent, as another replica may have taken them over.
        fenced = frozenset() if context.store.is_sqlite else frozenset({KIND})
        self.worker = Worker(context.store, by_kind, owner=owner, clock=context.clock, fenced=fenced)
        self.worker.finished = self._job_finished
        self.worker.lost = partial(overtaken.lost, context)
        self.intake = webhook.Intake(context, committed=self._committed, leasing=self.worker.leasing)
        # Handlers that need more than the context get it here, as only this module knows all parts.
        by_kind[outbox.KIND] = partial(deliver.handle, context, sinks=self._sinks)
        # What is taken in again goes the way of a webhook, which knows what is remembered of alerts.
        by_kind[recheck.KIND] = partial(rechecked.handle, context, accept=self.intake.accept)
        by_kind[migration_alert.KIND] = partial(migration_alert.handle, context, accept=self.intake.accept)
        by_kind[verdict_alert.KIND] = partial(verdict_alert.handle, context, accept=self.intake.accept)
        by_kind[recheck.STILL_FIRING] = partial(
            rechecked.still_firing, context, accept=self.intake.accept, lost=self.intake.alert_cache.lose
        )
        self.live = Live(context.store.changes, self.registry)
        self._max_body = settings.max_body
        self._ready = "starting"

    async def serve(self, listen: str, access: Access) -> None:
        """Open the store, start working, and serve until SIGTERM."""
        await self.make_server(listen, access).run()

    def make_server(self, listen: str, access: Access) -> Server:
        """The server with all its routes; the work begins and ends with it."""
        self.registry.register(access.guesses)
        people = People(self._context, access)
        server = Server(
            name="receiver",
            listen=listen,
            access=access,
            registry=self.registry,
            ready=lambda: self._ready,
            reload=self._reload,
            max_body=self._max_body,
            large_paths=frozenset(WEBHOOKS),
            acts=True,
            # Signed links bear their own proof.
            open_paths=_OWN_PROOF | STATIC_PATHS | {SIGN_IN, SIGN_OUT},
            signed_paths=_SIGNED,
            external=self._external,
            link_prefix=lambda: self._context.settings.path_prefix,
            own_urls=lambda: (self._context.settings.external_url,),
            sign_in=people,
        )
        self._add_routes(server.app, access)
        SignInRoutes(self._context, access, people).add_to(server.app)
        server.app.cleanup_ctx.append(self._working)
        return server

    def _add_routes(self, app: web.Application, access: Access) -> None:
        endpoint = webhook.Endpoint(self._context, self.intake, self._counters)
        for path in WEBHOOKS:
            needs(Scope.WEBHOOK, app.router.add_post(path, endpoint.__call__))
        needs(Scope.READ, app.router.add_get("/metrics", self._metrics))
        needs(Scope.ADMIN, app.router.add_get("/config", self._config))
        Pages(self._context, access, self.live, queued=self.worker.wake).add_to(app)
        needs(
            Scope.RESPOND,
            app.router.add_post(slack_buttons.PATH, SlackButtons(self._context, queued=self.worker.wake).__call__),
        )
        for outcome in pagerduty_webhook.OUTCOMES:
            self._counters.pagerduty_events.labels(outcome)
        pager = PagerDutyWebhook(self._context, queued=self.worker.wake, count=self._counters.pagerduty)
        needs(Scope.RESPOND, app.router.add_post(pagerduty_webhook.PATH, pager.__call__))
        for source, became in product(Source, Became):
            self._counters.announcements.labels(source, became)
        Announcements(self._context, queued=self.worker.wake, count=self._counters.announced).add_to(app)
        api.add_to(app, self._context, queued=self.worker.wake)

    async def _working(self, _: web.Application) -> AsyncIterator[None]:
        """Around the serving: the store is open, jobs are worked on, deliveries are committed."""
        context = self._context
        await context.store.open()
        # The file has one process: what is in hand when it starts was in hand of one that died.
        if context.store.is_sqlite:
            await context.store.write(lambda connection: release_all(connection, context.clock()))
        pruning = retention.prune_for_ever(context, lost=self.intake.alert_cache.lose)
        runs = (self.worker.run(), self.worker.keep_leases(), self.intake.run(), pruning)
        tasks = [asyncio.create_task(run) for run in (*runs, *self._rounds())]
        self._applying = asyncio.create_task(self._reconfigured())
        # Before this a load balancer sends nothing: a webhook that comes while the store opens would be refused.
        self._ready = ""
        gc_tuning.put_aside()
        yield
        # First: jobs end before channels and store close under them.
        await self.worker.stop(_STOP_SECONDS)
        await _cancel([*tasks, self._applying])
        for channel in context.channels.values():
            await channel.close()
        await self._sinks.close()
        await context.store.close()
        await context.http.close()

    async def _reconfigured(self) -> None:
        """Have what is open go by the configuration as it is: it may have been stopped to be given another one."""
        while True:
            try:
                await reconfigured.apply(self._context)
            except StoreError as error:
                log.error("what is open does not go by the configuration yet", reason=str(error))
                await asyncio.sleep(POLL_SECONDS)
            else:
                self.worker.wake()
                return

    def _rounds(self) -> tuple[Coroutine[Any, Any, None], ...]:
        accept = self.intake.accept
        return compare_for_ever(self._context, accept, self._healed), listen_for_ever(self._context, accept)

    def _healed(self, lost: Counter[Lost]) -> None:
        for reason, count in lost.items():
            self._counters.healed.labels(reason).inc(count)
        self.worker.wake()

    async def _reload(self) -> None:
        """Take over the file as it is now, except for the database and the body limit, which need a restart."""
        # What can fail comes before anything is replaced, so that a faulty file changes nothing.
        settings = self._read()
        channels = connect_all(settings.channels)
        templates = Templates(settings.templates)
        before = self._context.channels
        self._context.settings, self._context.channels, self._context.templates = settings, channels, templates
        self._counters.know(channels)
        self._counters.know_sinks(settings.events.sinks)
        for channel in before.values():
            await channel.close()
        await self._sinks.renew(settings.events)
        try:
            await self._context.store.write(self._refused_again)
        except StoreError as error:
            # The new configuration holds all the same; what was refused is tried at its own time.
            log.error("what channels refused is not tried at once", reason=str(error))
        self._applying.cancel()
        self._applying = asyncio.create_task(self._reconfigured())
        self.worker.wake()

    def _refused_again(self, connection: Connection) -> None:
        now = self._context.clock()
        delivery_results.try_refused_again(connection, now)
        outbox.try_again_now(connection, now)

    def _committed(self, taken: Taken) -> None:
        self._counters.decided(taken.reasons)

    def _job_finished(self, job: Job, outcome: Outcome) -> None:
        self._counters.finished(job, outcome)
        say = log.error if outcome.state is State.FAILED else log.info
        say("job", kind=job.kind, incident=job.incident_id, outcome=outcome.state, note=outcome.note)

    async def _metrics(self, _: web.Request) -> web.Response:
        # A registry of its own for each answer: these are read from the store, and are as of now.
        ledger = CollectorRegistry()
        try:
            now = self._context.clock()
            ledger.register(await self._context.store.read(lambda connection: snapshot(connection, now)))
        except StoreError as error:
            # What this process counts is answered all the same: it is how Prometheus learns that the store fails.
            log.error("/metrics lacks what the store knows", reason=str(error))
        body = generate_latest(self.registry) + generate_latest(ledger)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response(config.redacted(self._context.settings))


async def run(
    read: Callable[[], ReceiverConfig], listen: str, web_config: Path | None, external: External = NOT_SAID
) -> None:
    """Read the configuration and serve; `read` is asked again at each reload."""
    settings = read()
    access = Access(web_config)
    context = Context(
        settings=settings,
        store=Store(settings.database.get_secret_value()),
        templates=Templates(settings.templates),
        channels=connect_all(settings.channels),
        http=aiohttp.ClientSession(),
        clock=utc_now,
    )
    try:
        await Receiver(read, settings, context, external).serve(listen, access)
    finally:
        await context.http.close()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
