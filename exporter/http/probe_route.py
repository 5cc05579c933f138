"""`/probe?target=&module=[&debug=true]`: one probe now, as blackbox_exporter's users know it."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import web

from deploywatch.access.scopes import Scope, needs
from deploywatch.config import nearest, redacted
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.exporter import Exporter, Refused
from deploywatch.exporter.exposition import Exposition, Format, negotiate
from deploywatch.exporter.http.config_route import as_yaml
from deploywatch.exporter.http.metrics import exposed
from deploywatch.exporter.measure import families
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probing.measurement import Probe, Settling
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Reason, Result, Sample, iso
from deploywatch.exporter.settings.modules import Module, TargetError
from deploywatch.exporter.settings.refusal import told as told_refusal
from deploywatch.secrets import redact_url
from deploywatch.web.long_requests import Long, takes_long

DEFAULT_MODULE = "http_2xx"
_TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


class RequestError(DeploywatchError):
    """The request cannot be probed as it is: 400, as blackbox_exporter says; what goes wrong with a target is 200."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: a module's probe of a target, for at most `limit` seconds."""

    name: str
    target: str
    settings: AnyProbe
    limit: float


class ProbeRoute:
    """Probes for whoever asks, where access.py lets it connect to."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._running = 0
        self._leaving: set[asyncio.Task[None]] = set()

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        takes_long(Long.PROBE, needs(Scope.READ, app.router.add_get("/probe", self._probe)))

    async def _probe(self, request: web.Request) -> web.StreamResponse:
        module = request.query.get("module", DEFAULT_MODULE)
        if module in self._exporter.settings.refused:
            return await self._refused(request, module)
        try:
            asked = self._asked(request)
        except RequestError as error:
            return web.Response(status=400, text=f"{error}\n")
        if self._running >= self._exporter.settings.concurrency:
            self._exporter.refused[Refused.CONCURRENCY] += 1
            return web.Response(status=503, text="too many probes are under way; ask again later\n")
        self._running += 1
        try:
            result = await self._run(asked)
        except TimeoutError:
            self._exporter.refused[Refused.PER_SERVER] += 1
            server, limit = asked.settings.server(), self._exporter.settings.per_server.limit(asked.settings.kind)
            text = f"half of {limit} probes of {server} (per_server) are under way on request, or all; ask later\n"
            return web.Response(status=503, text=text)
        finally:
            self._running -= 1
        name = (asked.name, _shown(asked.target))
        self._exporter.board.dropped.update(result.dropped)
        self._exporter.board.history.note(name, asked.settings.kind, result, keep=False)
        if request.query.get("debug") == "true":
            return web.Response(text=_told(asked, name, result))
        return await self._answer(request, result)

    async def _refused(self, request: web.Request, name: str) -> web.StreamResponse:
        """A module that cannot run fails each of its probes, and says why."""
        self._exporter.refused[Refused.MODULE] += 1
        why = told_refusal(self._exporter.settings.refused[name])
        result = Result(self._exporter.clock.now(), 0.0, Reason.CONFIG, f"the module is refused: {why}")
        target = request.query.get("target", "")
        self._exporter.board.history.note((name, _shown(target)), "module", result, keep=False)
        if request.query.get("debug") == "true":
            return web.Response(text=told(result) + f"\n\nMetrics that would have been returned:\n{metrics(result)}")
        return await self._answer(request, result)

    async def _answer(self, request: web.Request, result: Result) -> web.StreamResponse:
        format_ = negotiate(request.headers.get("Accept", ""))
        end = "# EOF\n" if format_ is Format.OPENMETRICS else ""
        return await exposed(request, [(metrics(result, format_) + end).encode()], format_)

    async def _run(self, asked: Asked) -> Result:
        """The run, once there is a place for it at the server; TimeoutError when there is none within its limit."""
        clock, probe, stack = self._exporter.clock, asked.settings.probe(), AsyncExitStack()
        end = clock.monotonic() + asked.limit
        async with asyncio.timeout(asked.limit):
            place = self._exporter.scheduler.place(asked.settings.server(), asked.settings.kind)
            await stack.enter_async_context(place)
        try:
            left = end - clock.monotonic()
            allowed = self._exporter.settings.probe.allowed
            return await run(probe, limit=left, clock=clock, allowed=allowed, conceal=asked.settings.conceal)
        finally:
            # Its place is free when the server has no session of it any more; the answer need not wait for that.
            task = asyncio.create_task(_leave(probe, stack))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _asked(self, request: web.Request) -> Asked:
        name, target = request.query.get("module", DEFAULT_MODULE), request.query.get("target", "")
        modules = self._exporter.settings.modules
        if name not in modules:
            raise RequestError(f"Unknown module {name!r}{nearest(name, modules)}")
        if not target:
            raise RequestError("Target parameter is missing")
        if len(request.query.getall("target")) > 1:
            raise RequestError("Target parameter is there more than once")
        module = modules[name]
        try:
            settings = module.pointed_at(target)
            if hostname := request.query.get("hostname"):
                if module.targets is not None:
                    raise RequestError("hostname is given, and the module is bound to its targets' own names")
                settings = _for_hostname(settings, hostname)
        except TargetError as error:
            raise RequestError(f"{redact_url(target) if '@' in target else target!r}: {error}") from error
        return Asked(name, target, settings, self._limit(request, module))

    def _limit(self, request: web.Request, module: Module) -> float:
        """The scraper's timeout less the offset, or the module's, whichever is less; in seconds."""
        own, given = module.timeout.total_seconds(), request.headers.get(_TIMEOUT)
        if given is None:
            return own
        try:
            scraper = float(given)
        except ValueError:
            scraper = math.nan
        if not (math.isfinite(scraper) and scraper > 0):
            raise RequestError(f"{_TIMEOUT} is {given!r}, not a number of seconds")
        # Less than Prometheus waits: an answer that comes after its timeout is lost, with the reason in it.
        offset = self._exporter.settings.probe.timeout_offset.total_seconds()
        # As blackbox_exporter: a timeout that is shorter than the offset is used as it is.
        return min(own, scraper - offset if scraper > offset else scraper)


def _shown(target: str) -> str:
    return redact_url(target) if "://" in target else target


async def _leave(probe: Probe, stack: AsyncExitStack) -> None:
    async with stack:
        if isinstance(probe, Settling):
            await probe.settled()


def metrics(result: Result, format_: Format = Format.TEXT) -> str:
    """A result as exposition text, without labels of ours; the scraper adds its own."""
    samples = [Sample(families.SUCCESS, result.success), Sample(families.DURATION, result.duration)]
    if result.reason:
        samples.append(Sample(families.FAILURE_INFO, 1, (("reason", str(result.reason)),)))
    exposition = Exposition()
    exposition.put_samples("", (), [*samples, *result.samples])
    return exposition.text(format_)


def _for_hostname(settings: AnyProbe, hostname: str) -> AnyProbe:
    """As blackbox_exporter's `hostname`: the name to ask for in Host and in TLS, whatever address the target is."""
    try:
        match settings.kind:
            case "http" if any(name.lower() == "host" for name in settings.headers):
                raise RequestError("hostname is given, and the module has a Host header of its own")
            case "http":
                tls = settings.tls.model_copy(update={"server_name": hostname})
                return settings.with_changes(headers={**settings.headers, "Host": hostname}, tls=tls)
            case "tcp" | "tls" | "grpc":
                # A name that the module has for TLS is the one that is meant.
                name = settings.tls.server_name or hostname
                return settings.with_changes(tls=settings.tls.model_copy(update={"server_name": name}))
    except ValueError as error:
        raise RequestError(f"hostname {hostname!r}: {error}") from error
    raise RequestError(f"hostname is for http, tcp, tls and grpc modules, and this is of the kind {settings.kind}")


def told(result: Result) -> str:
    """What happened, line by line, for people."""
    lines = [f"began {iso(result.started)}, took {result.duration:.6f} s"]
    lines += [
        f"{sample.family.name}{{{', '.join(f'{name}={value}' for name, value in sample.labels)}}} = {sample.value:g}"
        for sample in result.samples
    ]
    lines += [
        f"step {step.name}: {step.duration:.6f} s" + (f": {step.reason}: {step.detail}" if step.reason else "")
        for step in result.steps
    ]
    lines += result.remarks
    lines += [f"left out: {reason}: {count}" for reason, count in result.dropped.items()]
    verdict = f"failed: {result.reason}: {result.detail}" if result.reason else "succeeded"
    return "\n".join([*lines, f"probe {verdict}"])


def _told(asked: Asked, name: tuple[str, str], result: Result) -> str:
    shown = {key: value for key, value in redacted(asked.settings).items() if value not in (None, "", {}, [])}
    return (
        f"Logs for the probe of {name[1]} with module {name[0]}, limit {asked.limit:g} s:\n{told(result)}\n\n\n"
        f"Metrics that would have been returned:\n{metrics(result)}\n\n"
        f"Module configuration:\n{as_yaml(shown)}"
    )
