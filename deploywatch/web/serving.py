"""The life of a server: listen, say healthy and ready, reload, and on SIGTERM finish what was begun."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from deploywatch import conventions, logs
from deploywatch.access.files import Loaded
from deploywatch.access.guard import SignIn, guard, signatures
from deploywatch.access.scopes import Scope, needs
from deploywatch.access.webconfig import Access
from deploywatch.errors import DeploywatchError
from deploywatch.web import sd_notify
from deploywatch.web.addresses import bind_to, parse_address, printed_address, reaches_only_us, refuse_open
from deploywatch.web.admission import Foreign, admission, no_urls
from deploywatch.web.connections import HEAD_SECONDS, Connections, Site
from deploywatch.web.long_requests import bounded
from deploywatch.web.prefix import LINKS, NOT_SAID, External, redirect_root, strip_from

log = logs.get("serving")

HEALTHY, READY, RELOAD = "/-/healthy", "/-/ready", "/-/reload"
# Below Kubernetes's and systemd's usual grace (30 s and 90 s), so that it ends by itself and is not killed.
DRAIN_SECONDS = 20.0


def always_ready() -> None:
    """The readiness of a part that waits for nothing."""


async def nothing_to_reload() -> None:
    """The reload of a part that has only its web config."""


@dataclass(slots=True)
class Server:
    """One HTTP server with the lifecycle endpoints that Prometheus users know.

    `ready` says why the part is not ready yet, or None; `reload` takes over new configuration, or raises
    DeploywatchError and changes nothing; `open_paths` need no credentials, and of them `signed_paths` have a signature;
    what is posted to `large_paths` is read there, up to `max_body`. One that `acts` serves without any only on
    loopback, and there to nobody who calls it by another name than those of `own_urls`. `external` is how others
    reach it; `link_prefix` what stands before the paths of its pages, where that is not the external URL's path.
    People come in by `sign_in`, where there is one.
    """

    name: str
    listen: str
    access: Access
    registry: CollectorRegistry
    ready: Callable[[], str | None] = always_ready
    reload: Callable[[], Awaitable[None]] = nothing_to_reload
    open_paths: frozenset[str] = frozenset()
    signed_paths: frozenset[str] = frozenset()
    large_paths: frozenset[str] = frozenset()
    max_body: int = 1024**2
    acts: bool = False
    own_urls: Callable[[], Iterable[str]] = no_urls
    external: External = NOT_SAID
    link_prefix: Callable[[], str] | None = None
    sign_in: SignIn | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    app: web.Application = field(init=False)
    _connections: Connections = field(init=False)
    _on_loopback: bool = field(init=False)
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reloaded: Gauge = field(init=False)
    _reloaded_at: Gauge = field(init=False)

    def __post_init__(self) -> None:
        open_paths = self.open_paths | {HEALTHY, READY}
        self._connections = Connections(self.registry)
        foreign_requests = Counter(
            "deploywatch_http_foreign_requests",
            "Requests that were refused because another name or a page of another origin sent them, by what showed it.",
            ["reason"],
            registry=self.registry,
        )
        # Each reason exists at 0: the first of its kind is then an increase, which alerts can see.
        for foreign in Foreign:
            foreign_requests.labels(foreign)
        # From the outside in: nobody's body is read before they are known, and no session counts for a page of somebody
        # else.
        middlewares = (
            guard(self.access, open_paths, self.sign_in),
            admission(
                open_paths=self.open_paths,
                checks_host=self._checks_host,
                own_urls=lambda: (*self.own_urls(), self.external.url),
                large_paths=self.large_paths,
                refused=lambda foreign: foreign_requests.labels(foreign).inc(),
            ),
            self._connections.middleware(lambda request: self.access.required and request.path in open_paths),
            signatures(self.access, self.signed_paths),
            bounded(self._connections.limit, self.registry),
        )
        self.app = web.Application(middlewares=middlewares, client_max_size=self.max_body)
        self.app[LINKS] = self.link_prefix or (lambda: self.external.links)
        redirect_root(self.app, self.external.routes)
        needs(Scope.READ, self.app.router.add_get(HEALTHY, self._healthy))
        needs(Scope.READ, self.app.router.add_get(READY, self._ready))
        needs(Scope.ADMIN, self.app.router.add_post(RELOAD, self._reload))
        self._reloaded = Gauge(
            conventions.CONFIG_RELOADED,
            "Whether the last configuration reload was successful.",
            registry=self.registry,
        )
        self._reloaded_at = Gauge(
            conventions.CONFIG_RELOADED_AT,
            "When the configuration was last reloaded with success.",
            registry=self.registry,
        )
        # Worked out once: what is bound cannot change while it runs.
        self._on_loopback = reaches_only_us(parse_address(self.listen)[0])
        self._note_reload()

    async def run(self, *, listening: Callable[[str], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT, then refuse new work, finish what is in flight, and return.

        `listening` is told the address once the port is bound, so that port 0 can be used.
        """
        # Looked at again here: the web config may have been replaced since the server was made.
        host, port = parse_address(self.listen)
        self._guarded(self.access.loaded)
        runner = web.AppRunner(
            self.app,
            # Ours do more: they say "stopping" and let what was begun end.
            handle_signals=False,
            shutdown_timeout=DRAIN_SECONDS,
            access_log=None,
            keepalive_timeout=HEAD_SECONDS,
            # A few kilobytes can become gigabytes; bodies in another coding are refused with 415.
            auto_decompress=False,
        )
        await runner.setup()
        strip_from(runner.server, self.external.routes)
        try:
            site = Site(runner, self._connections, host, port, self.access.ssl)
            # Before "listening" is said: a port that is taken must not look like a server that came up.
            await bind_to(site, self.listen)
            address = printed_address(runner)
            log.info(
                "listening", part=self.name, address=address + self.external.routes, tls=self.access.ssl is not None
            )
            sd_notify.ready(f"listening on {address}")
            if listening:
                listening(address)
            await self._until_stopped()
            log.info("draining", part=self.name)
            sd_notify.stopping()
        finally:
            await runner.cleanup()

    async def reload_all(self) -> str | None:
        """Reload the web config and the part's own; the reason, when the old one had to be kept."""
        sd_notify.reloading()
        reason = await self._reload_both()
        sd_notify.ready(f"the configuration was refused: {reason}" if reason else "the configuration is in force")
        return reason

    async def _reload_both(self) -> str | None:
        try:
            # SIGHUP and POST /-/reload may come together, and the later one must not be overtaken by the earlier.
            async with self._reloading:
                # Read before the part reloads, taken over after: a fault in either leaves both as they were.
                web_config = self._guarded(self.access.read())
                await self.reload()
                self.access.use(web_config)
        except DeploywatchError as error:
            self._reloaded.set(0)
            log.error("reload refused, the old configuration stays", part=self.name, reason=str(error))
            return str(error)
        self._note_reload()
        log.info("configuration reloaded", part=self.name)
        return None

    def _checks_host(self) -> bool:
        """Whether only this machine's own programs should reach it, a browser among them."""
        return self._on_loopback and not self.access.loaded.authenticates

    def _guarded(self, web_config: Loaded) -> Loaded:
        """The web config, where it may be in force on this address."""
        if self.acts:
            refuse_open(self.listen, web_config)
        return web_config

    async def _until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        # The loop keeps only weak references to its tasks: one that nobody holds may vanish half-way.
        reloads: set[asyncio.Task[str | None]] = set()

        def reload() -> None:
            task = loop.create_task(self.reload_all())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.draining.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        try:
            await self.draining.wait()
        finally:
            # From here on a second Ctrl-C ends the process at once, as people expect of it.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _note_reload(self) -> None:
        self._reloaded.set(1)
        self._reloaded_at.set(datetime.now(UTC).timestamp())

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text=f"{self.name} is healthy.\n")

    async def _ready(self, _: web.Request) -> web.Response:
        reason = "shutting down" if self.draining.is_set() else self.ready()
        if reason:
            return web.Response(status=503, text=f"{self.name} is not ready: {reason}\n")
        return web.Response(text=f"{self.name} is ready.\n")

    async def _reload(self, _: web.Request) -> web.Response:
        reason = await self.reload_all()
        return (
            web.Response(status=500, text=f"reload refused: {reason}\n") if reason else web.Response(text="reloaded\n")
        )
