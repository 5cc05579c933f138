"""What the example on each kind's page needs: real servers in place of its hosts, with what it asks them for."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio
from aiohttp import web as aiohttp_web

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.exporter.results import Reason
from tests.exporter.certs import Certs
from tests.exporter.dns_server import dns_server
from tests.exporter.grpc_server import grpc_server
from tests.exporter.support import Tcp, Web, mail, probe, scripted, silent, upgrading

PAGES = Path(__file__).parents[3] / "docs" / "probes"


@dataclass(frozen=True, slots=True)
class House:
    """What the stages are built from."""

    processes: Processes
    workshop: Path
    certs: Certs
    postgres: Running
    redis: Running


@dataclass(frozen=True, slots=True)
class Stage:
    """What is up: where the hosts of the page are really, the config's variables, and series that must come of it.

    `untold` are metrics of the page that this example cannot give, nothing being wrong here, and nothing replicated.
    """

    places: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    untold: frozenset[str] = frozenset()


TLS = frozenset(
    {
        "probe_ssl_earliest_cert_expiry",
        "probe_ssl_last_chain_expiry_timestamp_seconds",
        "probe_ssl_last_chain_info",
        "probe_tls_version_info",
        "probe_tls_cipher_info",
        "probe_tls_verify_failure_info",
    }
)
HEALTH = {
    "status": "healthy",
    "uptime": 86400,
    "version": "1.0.0",
    "checks": {"database": "healthy", "cache": "down", "mail": {"status": "ok", "responseTime": 3}},
    "memory_bytes": 1048576,
    "memory_percent": 50,
    "cpu_percent": 25,
    "active_connections": 7,
    "requests_per_minute": 120,
    "error_ratio": 0.01,
}


@asynccontextmanager
async def http(house: House) -> AsyncIterator[Stage]:
    """A shop that tells of its health, and of its queues to whom it knows."""

    async def queues(request: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        known = request.headers.get("Authorization") == "Bearer t0ken"
        body = {"total": 7, "queues": {"mail": {"length": 3}, "print": {"length": 4}}}
        return aiohttp_web.json_response(body, status=200 if known else 401)

    async with Web(tls=house.certs.server()) as web:
        times = {"X-Response-Time": "12ms", "Last-Modified": "Thu, 01 Jan 1970 00:01:40 GMT"}
        web.say("/health", json.dumps(HEALTH), headers=times)
        web.on("/api/queues", queues)
        yield Stage(
            {"shop.example": f"localhost:{web.port}"},
            {"SHOP_TOKEN": "t0ken"},
            {
                "queue_length{probe=queues,queue_id=mail}": 3,
                "queue_length{probe=queues,queue_id=print}": 4,
                "probe_http_status_code{probe=health}": 200,
                "probe_http_ssl{probe=health}": 1,
                "probe_http_last_modified_timestamp_seconds{probe=health}": 100,
                "probe_http_served_response_time_seconds{probe=health}": 0.012,
                "probe_application_info{probe=health,version=1.0.0}": 1,
                "probe_application_uptime_seconds{probe=health}": 86400,
                "probe_application_check{check=database,probe=health}": 1,
                "probe_application_check{check=cache,probe=health}": 0,
                "probe_application_memory_ratio{probe=health}": 0.5,
                "probe_application_requests_per_second{probe=health}": 2,
            },
            untold=frozenset({"probe_tls_verify_failure_info", "probe_application_cpu_seconds_total"}),
        )


@asynccontextmanager
async def tcp(house: House) -> AsyncIterator[Stage]:
    """A mail server, and one that speaks IMAP as far as the beginning of TLS."""
    imap = scripted(
        b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n", then=upgrading(house.certs.server())
    )
    async with mail(house.certs.server()) as smtp_port, Tcp(imap) as imap_port:
        yield Stage(
            {"mail.shop.example:25": f"localhost:{smtp_port}", "mail.shop.example:143": f"localhost:{imap_port}"},
            values={
                "probe_expect_info{probe=smtp,software=aiosmtpd}": 1,
                "probe_failed_due_to_regex{probe=smtp}": 0,
            },
            untold=frozenset({"probe_tls_verify_failure_info", "probe_failed_due_to_bytes"}),
        )


@asynccontextmanager
async def tls(house: House) -> AsyncIterator[Stage]:
    """A server that begins with TLS, and a mail server that offers it."""
    async with Tcp(silent, tls=house.certs.server()) as port, mail(house.certs.server()) as mail_port:
        yield Stage(
            {"shop.example:443": f"localhost:{port}", "mail.shop.example:587": f"localhost:{mail_port}"},
            values={
                "probe_tls_version_info{probe=certificate,version=TLS 1.3}": 1,
                "probe_tls_version_info{probe=mail,version=TLS 1.3}": 1,
            },
            untold=frozenset({"probe_tls_verify_failure_info"}),
        )


@asynccontextmanager
async def postgres(house: House) -> AsyncIterator[Stage]:
    """A database with the shop's tables, and a user who may read just these."""
    server = house.postgres
    main = await asyncpg.connect(server.url)
    await main.execute("CREATE ROLE probe LOGIN PASSWORD 'pr0be'")
    await main.execute("CREATE DATABASE shop")
    try:
        shop = await asyncpg.connect(server.url, database="shop")
        await shop.execute(
            "CREATE TABLE tenants AS SELECT generate_series(1, 5) AS id;"
            "CREATE TABLE queues AS SELECT * FROM (VALUES ('mail', 3), ('print', 4)) q (queue_id, length);"
            "CREATE TABLE orders AS SELECT * FROM (VALUES ('open', 5), ('open', 7.5), ('paid', 20)) o (status, price);"
            "GRANT SELECT ON tenants, queues, orders TO probe"
        )
        await shop.close()
        yield Stage(
            {"shop-db.example:5432": f"127.0.0.1:{server.port}"},
            {"SHOP_DB_PASSWORD": "pr0be"},
            {
                "tenants{probe=business}": 5,
                "queue_length{probe=business,queue_id=mail}": 3,
                "queue_length{probe=business,queue_id=print}": 4,
                "orders_number{probe=business,status=open}": 2,
                "orders_euros{probe=business,status=open}": 12.5,
                "orders_euros{probe=business,status=paid}": 20,
                "probe_postgres_replica{probe=server}": 0,
                "probe_postgres_locks_waiting{probe=server}": 0,
            },
            untold=TLS | {"probe_postgres_replication_lag_seconds", "probe_postgres_replication_lag_bytes"},
        )
    finally:
        await main.execute("DROP DATABASE shop WITH (FORCE)")
        await main.execute("DROP ROLE probe")
        await main.close()


@asynccontextmanager
async def cache(house: House) -> AsyncIterator[Stage]:
    """A cache that knows the user of the page, with the very rights that the page gives, and has queues."""
    folder, certs = house.workshop / "redis-page", house.certs
    folder.mkdir()
    certs.authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    tls_port = house.processes.free_port()
    options = ["--tls-port", str(tls_port), "--tls-auth-clients", "no", "--tls-ca-cert-file", certs.ca_file]
    options += ["--tls-cert-file", str(folder / "server.pem"), "--tls-key-file", str(folder / "server.pem")]
    (user,) = re.findall(r"`ACL SETUSER (.*?)`", (PAGES / "redis.md").read_text())
    server = servers.redis(house.processes, folder, options=[*options, "--user", *user.split()])
    try:
        client = redis.asyncio.from_url(server.url.replace("/0", "/1"))
        await client.rpush("queue:mail", "a", "b", "c")
        await client.rpush("queue:print", "a")
        await client.set("shop:connections", 42)
        await client.aclose()
        yield Stage(
            {"shop-cache.example:6379": f"127.0.0.1:{server.port}", "shop-cache.example:6380": f"localhost:{tls_port}"},
            {"SHOP_CACHE_PASSWORD": "password"},
            {
                "queue_length{probe=queues,queue_id=mail}": 3,
                "queue_length{probe=queues,queue_id=print}": 1,
                "active_queues{probe=queues}": 2,
                "active_connections{probe=queues}": 42,
                "probe_redis_replica{probe=queues}": 0,
                "probe_redis_memory_max_bytes{probe=queues}": 0,
            },
            untold=frozenset(
                {
                    "probe_redis_replication_link_up",
                    "probe_redis_replication_last_io_seconds",
                    "probe_tls_verify_failure_info",
                }
            ),
        )
    finally:
        server.child.stop()


@asynccontextmanager
async def flow(house: House) -> AsyncIterator[Stage]:
    """A shop that all is well with."""
    async with Web(tls=house.certs.server()) as web:
        serve_smoke(web)
        yield Stage(
            {"api.shop.example": f"localhost:{web.port}", "www.shop.example": f"localhost:{web.port}"},
            {"SMOKE_PASSWORD": "hunter2"},
            {
                **{f"probe_step_success{{probe=smoke,step={step}}}": 1 for step in SMOKE_STEPS},
                "probe_step_http_status_code{probe=smoke,step=clients}": 404,
            },
            untold=frozenset({"probe_step_failure_info", "probe_application_status"}),
        )


SMOKE_STEPS = ("api-health", "websites-health", "login", "clients", "sites", "database", "integrations")


def serve_smoke(web: Web) -> None:
    """Answer the smoke suite of the page as a shop does that is well."""

    async def auth(request: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        good = json.loads(web.bodies[-1]) == {"username": "test@example.com", "password": "hunter2"}
        return aiohttp_web.json_response({"token": "abc"} if good else {}, status=200 if good else 401)

    async def clients(request: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        return aiohttp_web.Response(status=404 if request.headers["Authorization"] == "Bearer abc" else 500)

    web.say("/health", "ok")
    web.on("/auth/login", auth)
    web.on("/api/clients", clients)
    web.say("/sites", status=403)
    web.say("/health/database", '{"status": "healthy"}')
    web.say("/health/integrations", '{"allHealthy": true}')


@asynccontextmanager
async def port(house: House) -> AsyncIterator[Stage]:
    """Every service where the registry says, and nobody on the port that is to be free."""
    async with Web() as web, mail(house.certs.server()) as mail_port:
        web.say("/health", '{"service": "shop"}')
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            places = {
                "shop.example:8080": web.port,
                "shop.example:5432": house.postgres.port,
                "shop.example:6379": house.redis.port,
                "mail.shop.example:25": mail_port,
                "shop.example:8081": unused.getsockname()[1],
            }
            expected = ("shop-web", "shop-database", "shop-cache", "mail")
            yield Stage(
                {place: f"127.0.0.1:{number}" for place, number in places.items()},
                values={
                    **{f"probe_port_state{{entry={name},service=host,state=expected}}": 1 for name in expected},
                    "probe_port_state{entry=reserved,service=host,state=free}": 1,
                    "probe_port_state{entry=shop-web,service=shop,state=expected}": 1,
                },
                untold=frozenset({"probe_port_occupied_info"}),
            )


@asynccontextmanager
async def icmp(house: House) -> AsyncIterator[Stage]:
    """This machine, where it lets its users send echo requests."""
    result = await probe(kind="icmp", host="127.0.0.1")
    if result.reason is Reason.UNSUPPORTED:
        pytest.skip(f"NOT TESTED HERE: {result.detail}")
    yield Stage({"gateway.example": "127.0.0.1"}, values={"probe_icmp_reply_hop_limit{probe=gateway}": 64})


@asynccontextmanager
async def dns(house: House) -> AsyncIterator[Stage]:
    """A name server, which answers over TLS as well."""
    async with dns_server(house.certs.server()) as server:
        yield Stage(
            {
                "ns1.example:5353": f"127.0.0.1:{server.port}",
                "ns1.example:8853": f"localhost:{server.tls_port}",
                "shop.example": "shop.example",
                "nothing.example": "nothing.example",
            },
            values={
                "probe_dns_answer_rrs{probe=shop}": 2,
                "probe_dns_serial{probe=zone}": 2026112801,
                "probe_dns_authority_rrs{probe=no-such-name}": 1,
                "probe_tls_version_info{probe=encrypted,version=TLS 1.3}": 1,
            },
            untold=frozenset({"probe_tls_verify_failure_info"}),
        )


@asynccontextmanager
async def grpc(house: House) -> AsyncIterator[Stage]:
    """A gRPC server, and the same over TLS."""
    issued = house.certs.authority.issue_cert("localhost")
    pair = issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    async with grpc_server() as plain, grpc_server(pair) as secure:
        yield Stage(
            {"orders.example:50051": f"127.0.0.1:{plain.port}", "orders.example:50052": f"localhost:{secure.port}"},
            values={
                "probe_grpc_healthcheck_response{probe=server,serving_status=SERVING}": 1,
                "probe_grpc_ssl{probe=checkout}": 1,
                "probe_grpc_status_code{probe=checkout}": 0,
            },
            untold=frozenset({"probe_tls_verify_failure_info"}),
        )


@asynccontextmanager
async def unix(house: House) -> AsyncIterator[Stage]:
    """A real Redis that listens on a socket."""
    folder = house.workshop / "redis-unix"
    folder.mkdir()
    server = servers.redis(house.processes, folder, options=["--unixsocket", str(folder / "r.sock")])
    try:
        yield Stage(
            {"cache.example": str(folder / "r.sock")},
            values={"probe_failed_due_to_regex{probe=ping}": 0},
            untold=TLS | {"probe_expect_info", "probe_failed_due_to_bytes"},
        )
    finally:
        server.child.stop()


STAGES: Mapping[str, Callable[[House], AbstractAsyncContextManager[Stage]]] = {
    "http": http,
    "tcp": tcp,
    "tls": tls,
    "postgres": postgres,
    "redis": cache,
    "flow": flow,
    "port": port,
    "icmp": icmp,
    "dns": dns,
    "grpc": grpc,
    "unix": unix,
}
"""For each kind of probe."""
