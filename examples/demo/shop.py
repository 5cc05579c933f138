"""The sample shop: a small web service with PostgreSQL and Redis behind it, and one fault in some of its releases.

python shop.py --listen 127.0.0.1:8080 --release 1.2.2 --database postgresql://… --redis redis://…
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import click
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from ruamel.yaml import YAML

log = logging.getLogger("shop")

FAULTS = ("missing_migration", "missing_copy", "slow_sessions", "nobody_admitted", "never_healthy")
CACHE_SECONDS = 30
REFRESH_EVERY = 20  # reads of one endpoint, so that its answer is fresh before it expires; the 5 % of release 1.2.3
COPIES = 33  # of each cached answer, read in turn; the 3 % of release 1.2.4
ADMIT_EVERY_SECONDS, ADMIT_AT_ONCE = 0.25, 50
CHECK_SECONDS = 2.0
BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

SCHEMA = """
create table if not exists tenants (id int primary key, name text not null);
create table if not exists queues (id int primary key, tenant int not null, name text not null, active bool not null);
create table if not exists user_sessions (id int primary key, tenant int not null, started timestamptz not null);
insert into tenants select n, 'tenant ' || n from generate_series(1, 3) n on conflict do nothing;
insert into queues select n, 1 + n % 3, 'queue ' || n, n <= 4 from generate_series(1, 6) n on conflict do nothing;
insert into user_sessions select n, 1 + n % 3, now() - n * interval '1 minute' from generate_series(1, 40) n
  on conflict do nothing;
"""

READS = {
    "/api/queues": "select id, tenant, name, active from queues order by id",
    "/api/user-sessions": "select id, tenant, started::text from user_sessions order by id",
    "/api/tenants": "select id, name from tenants order by id",
    "/api/health": "select 'healthy' as status, count(*) as tenants from tenants",
}

SLOW_SESSIONS = """
with searched as materialized (select pg_sleep($1))
select id, tenant, started::text from user_sessions, searched order by id
"""


class ShopError(Exception):
    """The shop cannot start; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """What this process runs as: its version, and the fault that the version has, or none."""

    version: str
    fault: str = ""
    seconds: float = 0.0

    @classmethod
    def read(cls, file: Path, version: str) -> Release:
        """Look the version up in the releases file; ShopError when it is not there."""
        releases: dict[str, Any] = YAML(typ="safe", pure=True).load(file)
        if version not in releases:
            raise ShopError(f"there is no release {version}; {file.name} has: {', '.join(releases)}")
        fault = releases[version].get("fault", {})
        kind = fault.get("kind", "")
        if kind and kind not in FAULTS:
            raise ShopError(f"{file.name}: release {version}: unknown fault {kind!r}; known: {', '.join(FAULTS)}")
        return cls(version, kind, float(fault.get("seconds", 0)))


@dataclass(slots=True)
class Storage:
    """The database, the cache in front of it, and the queues."""

    database: Any  # asyncpg.Pool; asyncpg has no type information
    redis: Redis
    release: Release
    reads: Tally[str] = field(default_factory=Tally)

    async def read(self, endpoint: str) -> list[dict[str, Any]]:
        """An endpoint's rows: from the cache, except when it is empty or due to be refreshed."""
        if self.release.fault == "slow_sessions" and endpoint == "/api/user-sessions":
            return await self.query(SLOW_SESSIONS, self.release.seconds)
        self.reads[endpoint] += 1
        if self.reads[endpoint] % REFRESH_EVERY == 0:
            return await self.refresh(endpoint)
        key = self.copy(endpoint)
        cached = await self.redis.get(key)
        if cached is None:
            return await self.fill(endpoint, key)
        rows: list[dict[str, Any]] = json.loads(cached)
        return rows

    def copy(self, endpoint: str) -> str:
        """The key of a cached answer; release 1.2.4 reads its copies in turn, and made one too few."""
        if self.release.fault != "missing_copy":
            return f"cache:{endpoint}"
        keys = [f"cache:{endpoint}:{number}" for number in range(COPIES - 1)]
        return keys[self.reads[endpoint] % COPIES]

    async def refresh(self, endpoint: str) -> list[dict[str, Any]]:
        if self.release.fault == "missing_migration":
            await self.database.execute("insert into cache_refreshes (endpoint, at) values ($1, now())", endpoint)
        return await self.fill(endpoint)

    async def fill(self, endpoint: str, key: str = "") -> list[dict[str, Any]]:
        rows = await self.query(READS[endpoint])
        await self.redis.set(key or f"cache:{endpoint}", json.dumps(rows), ex=CACHE_SECONDS)
        return rows

    async def query(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.fetch(statement, *arguments)]

    async def join(self, queue: int) -> int:
        """Someone joins the end of a queue; the place they have."""
        return int(await self.redis.rpush(f"queue:{queue}", str(time.time())))

    async def lengths(self) -> dict[int, int]:
        """How many people wait in each queue."""
        return {row["id"]: int(await self.redis.llen(f"queue:{row['id']}")) for row in await self.queues()}

    async def queues(self) -> list[dict[str, Any]]:
        """The queues, without counting as a request's read."""
        cached = await self.redis.get("cache:/api/queues")
        queues: list[dict[str, Any]] = json.loads(cached) if cached else await self.fill("/api/queues")
        return queues

    async def admit_for_ever(self) -> None:
        """Let people in from the front of every active queue; what goes wrong is logged and tried again."""
        name = "waiting:" if self.release.fault == "nobody_admitted" else "queue:"
        while True:
            try:
                for queue in await self.queues():
                    if queue["active"]:
                        await self.redis.lpop(f"{name}{queue['id']}", ADMIT_AT_ONCE)
            except (RedisError, asyncpg.PostgresError, OSError) as error:
                log.warning("nobody let in: %s", error)
            await asyncio.sleep(ADMIT_EVERY_SECONDS)

    async def check_database(self) -> None:
        await self.database.fetchval("select count(*) from tenants")

    async def check_cache(self) -> None:
        await self.redis.ping()
        if self.release.fault == "never_healthy" and not await self.redis.exists("health:proof"):
            raise RedisError("health:proof is missing")


class Metrics:
    """The shop's own metrics, all with its service, environment and version."""

    def __init__(self, service: str, environment: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self.common = {"service": service, "environment": environment, "version": version}
        names = [*self.common]
        where = [*names, "method", "endpoint"]
        self.requests = Counter("http_requests_total", "Requests.", [*where, "status"], registry=self.registry)
        self.durations = Histogram(
            "http_request_duration_seconds", "Time to answer.", where, buckets=BUCKETS, registry=self.registry
        )
        self.waiting = Gauge("queue_length", "People waiting.", [*names, "queue_id"], registry=self.registry)
        self.active = Gauge("active_connections", "Database connections in use.", names, registry=self.registry)
        Gauge("build_info", "The version that runs.", names, registry=self.registry).labels(**self.common).set(1)
        for endpoint in READS:  # from 0, so that the first error is an increase
            for status in ("200", "500"):
                self.requests.labels(**self.common, method="GET", endpoint=endpoint, status=status)

    def answered(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        self.requests.labels(**self.common, method=method, endpoint=endpoint, status=str(status)).inc()
        self.durations.labels(**self.common, method=method, endpoint=endpoint).observe(seconds)


class Shop:
    """The HTTP side: every request is timed and counted; an unexpected fault is a 500 and a line in the log."""

    def __init__(self, storage: Storage, metrics: Metrics) -> None:
        self.storage, self.metrics = storage, metrics
        self.started = time.monotonic()
        self.app = web.Application(middlewares=[self.observe()])
        self.app.router.add_get("/health", self.health)
        self.app.router.add_get("/metrics", self.expose)
        self.app.router.add_post("/api/queues", self.join)
        for endpoint in READS:
            self.app.router.add_get(endpoint, self.read)

    def observe(self) -> Middleware:
        """Time, count and mark every answer."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            begun = time.perf_counter()
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.json_response({"error": error.reason}, status=error.status)
            except Exception as error:
                log.error("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
                response = web.json_response({"error": "internal error"}, status=500)
            seconds = time.perf_counter() - begun
            response.headers["X-Response-Time"] = f"{seconds * 1000:.3f}ms"
            resource = request.match_info.route.resource
            if request.path != "/metrics":
                endpoint = resource.canonical if resource else "unknown"
                self.metrics.answered(request.method, endpoint, response.status, seconds)
            return response

        return middleware

    async def read(self, request: web.Request) -> web.Response:
        return web.json_response({"items": await self.storage.read(request.path)})

    async def join(self, request: web.Request) -> web.Response:
        active = [row["id"] for row in await self.storage.read("/api/queues") if row["active"]]
        wanted = request.query.get("queue", "")
        queue = int(wanted) if wanted.isdigit() else active[0]
        if queue not in active:
            raise web.HTTPNotFound(reason=f"queue {queue} is not open")
        return web.json_response({"queue": queue, "place": await self.storage.join(queue)}, status=201)

    async def health(self, _: web.Request) -> web.Response:
        names = {"database": self.storage.check_database, "cache": self.storage.check_cache}
        checks = dict(zip(names, await asyncio.gather(*(_verdict(n, c) for n, c in names.items())), strict=True))
        well = all(verdict == "healthy" for verdict in checks.values())
        body = {
            "status": "healthy" if well else "unhealthy",
            "uptime": round(time.monotonic() - self.started, 3),
            "version": self.storage.release.version,
            "checks": checks,
        }
        return web.json_response(body, status=200 if well else 503)

    async def expose(self, _: web.Request) -> web.Response:
        with contextlib.suppress(RedisError, asyncpg.PostgresError, OSError):
            for queue, length in (await self.storage.lengths()).items():
                self.metrics.waiting.labels(**self.metrics.common, queue_id=str(queue)).set(length)
        pool = self.storage.database
        self.metrics.active.labels(**self.metrics.common).set(pool.get_size() - pool.get_idle_size())
        return web.Response(body=generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _verdict(name: str, check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:
        log.warning("%s is unhealthy: %s: %s", name, type(error).__name__, error)
        return "unhealthy"
    return "healthy"


@contextlib.asynccontextmanager
async def open_storage(database: str, redis: str, release: Release) -> Any:
    """Connect to both, and make the tables where they are missing; ShopError when one does not answer."""
    client = Redis.from_url(redis, decode_responses=True, socket_timeout=CHECK_SECONDS, retry=Retry(NoBackoff(), 1))
    try:
        await client.ping()
        pool = await asyncpg.create_pool(database, min_size=2, max_size=40)
    except (OSError, ValueError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        await client.aclose()
        raise ShopError(f"the database or the cache does not answer: {type(error).__name__}: {error}") from error
    try:
        async with pool.acquire() as connection, connection.transaction():
            # Two versions may start at once; only one makes the tables.
            await connection.execute("select pg_advisory_xact_lock(122)")
            await connection.execute(SCHEMA)
        yield Storage(pool, client, release)
    finally:
        await pool.close()
        await client.aclose()


async def serve(listener: socket.socket, storage: Storage, metrics: Metrics, *, stop_with_parent: bool) -> None:
    """Serve until SIGTERM or SIGINT, or until the parent is gone; then finish what is in flight."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stop_with_parent:
        # Standard input is a pipe that only the parent holds open, so its end is the parent's end.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    runner = web.AppRunner(Shop(storage, metrics).app, handle_signals=False, shutdown_timeout=5, access_log=None)
    worker = asyncio.create_task(storage.admit_for_ever())
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        print(f"shop {storage.release.version} listens on {listener.getsockname()}", flush=True)
        await stop.wait()
    finally:
        worker.cancel()
        await runner.cleanup()


def listener(address: str) -> socket.socket:
    """The socket for `host:port`, or one that the parent opened and handed over as `fd:number`."""
    host, _, port = address.rpartition(":")
    if host == "fd":
        return socket.socket(fileno=int(port))
    try:
        return socket.create_server((host, int(port)), backlog=1024)
    except OSError as error:
        raise ShopError(f"cannot listen on {address}: {error.strerror}") from error


@click.command()
@click.option("--listen", required=True, help="host:port, or fd:N for a socket that was handed over.")
@click.option("--release", "version", required=True, help="The version to run as.")
@click.option("--releases", type=click.Path(path_type=Path), default=Path(__file__).with_name("releases.yml"))
@click.option("--database", envvar="SHOP_DATABASE", required=True, help="PostgreSQL's URL.")
@click.option("--redis", envvar="SHOP_REDIS", required=True, help="Redis's URL.")
@click.option("--service", envvar="SHOP_SERVICE", default="shop", show_default=True)
@click.option("--environment", envvar="SHOP_ENVIRONMENT", default="demo", show_default=True)
@click.option("--stop-with-parent", is_flag=True, help="Stop when standard input is closed.")
def main(
    *,
    listen: str,
    version: str,
    releases: Path,
    database: str,
    redis: str,
    service: str,
    environment: str,
    stop_with_parent: bool,
) -> None:
    """Run the sample shop as one of its releases."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)

    async def run() -> None:
        release = Release.read(releases, version)
        async with open_storage(database, redis, release) as storage:
            metrics = Metrics(service, environment, version)
            await serve(listener(listen), storage, metrics, stop_with_parent=stop_with_parent)

    try:
        asyncio.run(run())
    except ShopError as error:
        print(f"shop: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)


if __name__ == "__main__":
    main()
