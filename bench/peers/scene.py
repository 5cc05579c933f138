"""Where situations are brought about: servers on this machine, the three peers, and our own probes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from pydantic import TypeAdapter

from bench.peers.pair import Pair
from deploywatch.clock import SystemClock
from deploywatch.demo import servers
from deploywatch.demo.processes import Child, Processes
from deploywatch.demo.servers import Running, python_part
from deploywatch.errors import DeploywatchError
from deploywatch.exporter.probes import AnyProbe
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.probing.settings import ProbeSettings
from deploywatch.exporter.results import Result
from tests.exporter.certs import Certs
from tests.exporter.support import Talk, Tcp, Web

LIMIT = 4.0
"""Seconds that each has, the peers too."""

_SETTINGS: TypeAdapter[ProbeSettings] = TypeAdapter(AnyProbe)
_BLACKBOX_ERROR = re.compile(r'(?:err|msg)="((?:[^"\\]|\\.)*)"')


class MissingError(DeploywatchError):
    """A peer is not installed."""


def program(name: str) -> str:
    """Where a peer is; MissingError when it is not."""
    installed = shutil.which(name)
    if installed is None:
        raise MissingError(f"{name} is not on the PATH; scripts/peers installs it")
    return installed


class Scene:
    """What all situations share, and in `stack` what one of them alone has started."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes, self.folder = processes, folder
        self.certs = Certs(trustme.CA(), folder)
        self.stack = AsyncExitStack()
        self._shared: dict[str, Running] = {}
        self._blackbox: Running | None = None

    async def web(self, **options: Any) -> Web:
        """A web server of this situation."""
        return await self.stack.enter_async_context(Web(**options))

    async def tcp(self, talk: Talk, **options: Any) -> int:
        """The port of a server that talks so."""
        return await self.stack.enter_async_context(Tcp(talk, **options))

    def own(self, running: Running | Child) -> None:
        """Stop a process after this situation."""
        child = running.child if isinstance(running, Running) else running
        self.stack.push_async_callback(asyncio.to_thread, child.stop, 1.0)

    async def postgres_server(self) -> Running:
        """The PostgreSQL that all share."""
        return await self._server("postgres", servers.postgres)

    async def redis_server(self) -> Running:
        """The Redis that all share."""
        return await self._server("redis", servers.redis)

    async def _server(self, name: str, start: Any) -> Running:
        if name not in self._shared:
            self._shared[name] = await asyncio.to_thread(start, self.processes, self.folder / name)
        return self._shared[name]

    async def ours(self, **settings: Any) -> Result:
        """What our probe with these settings says."""
        return await self.ran(self.made(**settings))

    def made(self, **settings: Any) -> ProbeSettings:
        """Settings of a probe, as they are read from a file."""
        return _SETTINGS.validate_python(settings)

    async def ran(self, made: ProbeSettings) -> Result:
        """What a probe says."""
        return await run(made.probe(), limit=LIMIT, clock=SystemClock(), conceal=made.conceal)

    async def http(
        self,
        url: str,
        theirs: Mapping[str, Any] | None = None,
        ours: Mapping[str, Any] | None = None,
        *,
        tls: Mapping[str, Any] | None = None,
        shown: tuple[str, ...] = (),
    ) -> Pair:
        """Blackbox_exporter's http prober and ours, with the same TLS settings."""
        secured = {"tls_config": tls} if tls else {}
        module = {"prober": "http", "http": {"preferred_ip_protocol": "ip4", **secured, **(theirs or {})}}
        answer = await self._asked_blackbox(url, module, shown)
        result = await self.ours(kind="http", url=url, **({"tls": tls} if tls else {}), **(ours or {}))
        return Pair(answer, result, shown)

    async def tcp_prober(
        self, address: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], *, shown: tuple[str, ...] = ()
    ) -> Pair:
        """Blackbox_exporter's tcp prober, and ours with whatever kind it is."""
        module = {"prober": "tcp", "tcp": {"preferred_ip_protocol": "ip4", **theirs}}
        answer = await self._asked_blackbox(address, module, shown)
        return Pair(answer, await self.ours(**ours), shown)

    async def _asked_blackbox(self, target: str, module: Mapping[str, Any], shown: Sequence[str]) -> str:
        config = self.folder / "blackbox.yml"
        config.write_text(json.dumps({"modules": {"it": {"timeout": f"{LIMIT}s", **module}}}))
        async with aiohttp.ClientSession() as session:
            if self._blackbox is None:
                port = self.processes.free_port()
                command = [program("prometheus-blackbox-exporter"), f"--config.file={config}"]
                command += [f"--web.listen-address=127.0.0.1:{port}"]
                self._blackbox = await asyncio.to_thread(
                    python_part, self.processes, "blackbox", command, port=port, ready="/-/healthy"
                )
            async with session.post(f"{self._blackbox.url}/-/reload") as answer:
                if answer.status != 200:
                    return f"refuses its config: {(await answer.text()).strip()}"
            return await self._probed(session, target, shown)

    async def asked_again(self, target: str, after: Callable[[], None]) -> str:
        """What blackbox_exporter says with the module of before, after something has been done."""
        after()
        async with aiohttp.ClientSession() as session:
            return await self._probed(session, target, ())

    async def _probed(self, session: aiohttp.ClientSession, target: str, shown: Sequence[str]) -> str:
        asked = {"target": target, "module": "it", "debug": "true"}
        url = self._blackbox.url if self._blackbox else ""
        async with session.get(f"{url}/probe", params=asked) as answer:
            return blackbox_words(await answer.text(), shown)

    async def postgres(
        self,
        dsn: str,
        ours: Mapping[str, Any] | None = None,
        *,
        queries: str = "",
        shown: tuple[str, ...] = (),
        theirs_shown: tuple[str, ...] = (),
    ) -> Pair:
        """Postgres_exporter, with queries of its own form, and ours."""
        more = [f"--extend.query-path={self._written('queries.yaml', queries)}"] if queries else []
        lines, log = await self._scraped(
            "prometheus-postgres-exporter",
            ["--disable-settings-metrics", *more],
            {"DATA_SOURCE_NAME": dsn if "sslmode" in dsn else f"{dsn}{'&' if '?' in dsn else '?'}sslmode=disable"},
        )
        answer = _exporter_words(lines, log, "pg_up", theirs_shown)
        return Pair(answer, await self.ours(kind="postgres", dsn=dsn, **(ours or {})), shown)

    async def redis(
        self,
        url: str,
        ours: Mapping[str, Any] | None = None,
        *,
        options: Sequence[str] = (),
        shown: tuple[str, ...] = (),
        theirs_shown: tuple[str, ...] = (),
    ) -> Pair:
        """Redis_exporter with these options, and ours."""
        lines, log = await self._scraped("prometheus-redis-exporter", [f"-redis.addr={url}", *options], {})
        answer = _exporter_words(lines, log, "redis_up", theirs_shown)
        return Pair(answer, await self.ours(kind="redis", url=url, **(ours or {})), shown)

    def _written(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    async def _scraped(
        self, name: str, options: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[list[str] | None, str]:
        """The lines of a peer's /metrics, None when it does not answer in time; and its log."""
        port = self.processes.free_port()
        # postgres_exporter answers on / without asking its server.
        flag = "--web.listen-address" if "postgres" in name else "-web.listen-address"
        command = [program(name), f"{flag}=127.0.0.1:{port}", *options]
        log_name = f"{name}-{port}"
        running = await asyncio.to_thread(
            python_part, self.processes, log_name, command, port=port, ready="/", environment=environment
        )
        lines: list[str] | None = None
        try:
            timeout = aiohttp.ClientTimeout(total=2 * LIMIT)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{running.url}/metrics") as got:
                text = await got.text()
                lines = text.splitlines() if got.status == 200 else [f"HTTP {got.status}: {text.splitlines()[0]}"]
        except TimeoutError:
            pass
        finally:
            await asyncio.to_thread(running.child.stop, 1.0)
        return lines, running.child.log.read_text(errors="replace")


def blackbox_words(text: str, shown: Sequence[str]) -> str:
    """What blackbox_exporter's debug output says: success or the error, and these series."""
    values = _values(text.splitlines())
    facts = _facts(values, shown)
    if values.get("probe_success") == 1:
        return f"success{facts}"
    lines = [line for line in text.splitlines() if re.search(r"level=(?:error|warn)|Invalid", line)]
    errors = [_BLACKBOX_ERROR.findall(line) for line in lines if "Probe failed" not in line]
    reason = next((words[-1] for words in reversed(errors) if words), "without a word")
    return f"fails: {reason}{facts}".replace('\\"', '"')


def _exporter_words(lines: list[str] | None, log: str, up: str, shown: Sequence[str]) -> str:
    """What a database's exporter says: up or not, the last error of its log, and these series."""
    error = _last_error(log)
    if lines is None:
        return f"no answer within {2 * LIMIT:g} s{error}"
    if lines and lines[0].startswith("HTTP "):
        return f"the whole scrape fails: {lines[0]}"
    values = _values(lines)
    state = f"`{up}` {values.get(up, 0):g}"
    return f"{state}{error}{_facts(values, shown)}"


def _last_error(log: str) -> str:
    lines = [line for line in log.splitlines() if re.search(r'level="?(?:error|warn)|"level":"error"', line)]
    for line in reversed(lines):
        match = re.search(r'err="(?P<text>(?:[^"\\]|\\.)*)"', line) or re.search(
            r'msg="(?P<text>(?:[^"\\]|\\.)*)"', line
        )
        if match:
            return f"; log: {match['text']}".replace('\\"', '"')
    return ""


def _values(lines: Sequence[str]) -> dict[str, float]:
    values = {}
    for line in lines:
        match = re.fullmatch(r"(?P<series>[a-z_]+(?:\{.*\})?) (?P<value>\S+)", line)
        if match and re.fullmatch(r"[-+.\deE]+|NaN|[+-]Inf", match["value"]):
            values[match["series"]] = float(match["value"])
    return values


def _facts(values: Mapping[str, float], shown: Sequence[str]) -> str:
    """The series whose names begin so, with their values; one that is not there is said to be missing."""
    facts = []
    for name in shown:
        there = {series: value for series, value in values.items() if series.startswith(name)}
        facts += [f"`{series}` {_number(value)}" for series, value in there.items()] or [f"no `{name}`"]
    return f"; {', '.join(facts)}" if facts else ""


def _number(value: float) -> str:
    return "is a time" if value > 1e9 else f"{value:g}"


def our_words(pair: Pair) -> str:
    """What we say."""
    values = {}
    for sample in pair.ours.samples:
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels)
        values[sample.family.name + (f"{{{labels}}}" if labels else "")] = sample.value
    verdict = f"fails: `{pair.ours.reason}`: {pair.ours.detail}" if pair.ours.reason else "success"
    return "; ".join([verdict, *(pair.ours.remarks if pair.ours.success else ())]) + _facts(values, pair.shown)


def environment_of_tests() -> None:
    """Nothing of the caller's own may send the peers elsewhere."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "PGHOST", "PGPASSWORD", "REDIS_PASSWORD"):
        os.environ.pop(name, None)
