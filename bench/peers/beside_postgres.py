"""Situations beside postgres_exporter: a database that is well, one that is not, and queries of one's own."""

from __future__ import annotations

import asyncio
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench.peers.pair import Pair
from bench.peers.scene import Scene
from bench.peers.situation import fails, shows, situation, well
from deploywatch.demo import servers
from deploywatch.demo.processes import wait_until
from deploywatch.demo.servers import PASSWORD
from deploywatch.exporter.results import Reason
from tests.exporter.support import silent

beside = partial(situation, "postgres_exporter")


def query(name: str, sql: str, labels: tuple[str, ...] = ()) -> str:
    """A query as postgres_exporter reads it, with a gauge `value`."""
    metrics = "".join(f"\n    - {label}: {{usage: LABEL, description: L.}}" for label in labels)
    return f'{name}:\n  query: "{sql}"\n  metrics:{metrics}\n    - value: {{usage: GAUGE, description: V.}}\n'


def ours(name: str, sql: str) -> dict[str, Any]:
    """The same query as we read it."""
    return {"queries": {name: {"sql": sql, "help": "V."}}}


async def asked(scene: Scene, sql: str, labels: tuple[str, ...] = (), shown: str = "mine") -> Pair:
    """Both ask the healthy server the same."""
    server = await scene.postgres_server()
    return await scene.postgres(
        server.url,
        ours("mine", sql),
        queries=query("mine", sql, labels),
        shown=(shown,),
        theirs_shown=(f"{shown}_value", "pg_exporter_last_scrape_error"),
    )


@beside("a healthy server", well())
async def _(scene: Scene) -> Pair:
    return await scene.postgres((await scene.postgres_server()).url)


@beside("nobody listens", fails(Reason.CONNECT_REFUSED))
async def _(scene: Scene) -> Pair:
    return await scene.postgres(f"postgresql://u:p@127.0.0.1:{scene.processes.free_port()}/shop")


@beside("a wrong password", fails(Reason.AUTH, "password authentication failed"))
async def _(scene: Scene) -> Pair:
    return await scene.postgres((await scene.postgres_server()).url.replace(PASSWORD, "wr0ng"))


@beside("an unknown database", fails(Reason.QUERY, "does not exist"))
async def _(scene: Scene) -> Pair:
    return await scene.postgres((await scene.postgres_server()).url.removesuffix("postgres") + "nowhere")


@beside("the server takes the connection and says nothing", fails(Reason.DEADLINE, "says nothing"))
async def _(scene: Scene) -> Pair:
    return await scene.postgres(f"postgresql://u:p@127.0.0.1:{await scene.tcp(silent)}/shop")


@beside("the server is frozen (SIGSTOP)", fails(Reason.DEADLINE, "says nothing"))
async def _(scene: Scene) -> Pair:
    server = await asyncio.to_thread(servers.postgres, scene.processes, scene.folder / "frozen")
    scene.own(server)
    scene.stack.callback(server.child.send, signal.SIGCONT)
    server.child.send(signal.SIGSTOP)
    return await scene.postgres(server.url)


@beside("all connections are taken", fails(Reason.UNAVAILABLE, "too many clients"))
async def _(scene: Scene) -> Pair:
    options = ["max_connections=4", "superuser_reserved_connections=0", "autovacuum=off", "max_wal_senders=0"]
    server = await asyncio.to_thread(servers.postgres, scene.processes, scene.folder / "full", options=options)
    scene.own(server)
    for _ in range(4):
        taken = await asyncpg.connect(server.url)
        scene.stack.callback(taken.terminate)
    return await scene.postgres(server.url)


@beside("two hosts in the URL, the first of them down", well())
async def _(scene: Scene) -> Pair:
    server, down = await scene.postgres_server(), scene.processes.free_port()
    return await scene.postgres(server.url.replace("@", f"@127.0.0.1:{down},"))


@beside("`connect_timeout` in the URL (neonctl#366)", well())
async def _(scene: Scene) -> Pair:
    return await scene.postgres((await scene.postgres_server()).url + "?connect_timeout=5")


@beside("`sslmode=require` of a server without TLS", fails(Reason.TLS))
async def _(scene: Scene) -> Pair:
    return await scene.postgres((await scene.postgres_server()).url + "?sslmode=require")


@beside("rows with equal labels (postgres_exporter#219)", fails(Reason.VALUE, 'q="a"'))
async def _(scene: Scene) -> Pair:
    return await asked(scene, "SELECT 'a' AS q, 1 AS value UNION ALL SELECT 'a', 9999", ("q",))


@beside('a label of the type "char": pg_class.relkind', shows("mine{relkind=r}"))
async def _(scene: Scene) -> Pair:
    return await asked(scene, "SELECT relkind, 1 AS value FROM pg_class WHERE relkind = 'r' LIMIT 1", ("relkind",))


@beside("an interval as a value (postgres_exporter#182)", well(mine=90))
async def _(scene: Scene) -> Pair:
    return await asked(scene, "SELECT interval '1 minute 30 seconds' AS value")


@beside("a timestamp as a value", shows("mine"))
async def _(scene: Scene) -> Pair:
    return await asked(scene, "SELECT timestamptz '2026-01-01 00:00:00+00' AS value")


@beside("NULL as a value", well())
async def _(scene: Scene) -> Pair:
    return await asked(scene, "SELECT NULL::int AS value")


@beside("the second of three queries is denied", fails(Reason.QUERY, "query second", has=("first", "third")))
async def _(scene: Scene) -> Pair:
    server = await scene.postgres_server()
    asked_for = {
        "first": "SELECT 1 AS value",
        "second": "SELECT value FROM no_such_table",
        "third": "SELECT 3 AS value",
    }
    return await scene.postgres(
        server.url,
        {"queries": {name: {"sql": sql, "help": "V."} for name, sql in asked_for.items()}},
        queries="".join(query(name, sql) for name, sql in asked_for.items()),
        shown=("first", "second", "third"),
        theirs_shown=("first_value", "second_value", "third_value"),
    )


@beside("a query that waits for a lock", fails(Reason.QUERY_TIMEOUT, "query mine"))
async def _(scene: Scene) -> Pair:
    server = await scene.postgres_server()
    holder = await asyncpg.connect(server.url)
    scene.stack.callback(holder.terminate)
    await holder.execute("CREATE TABLE IF NOT EXISTS orders (value int)")
    await holder.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    pair = await asked(scene, "SELECT count(*) AS value FROM orders")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    left = await holder.fetchval(waiting)
    return Pair(f"{pair.theirs}; sessions still waiting: {left}", pair.ours, pair.shown)


def pooler(scene: Scene, backend: int, *settings: str) -> str:
    """The URL of a PgBouncer before a server."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    assert program, "pgbouncer is not on the PATH; scripts/peers installs it"
    port = scene.processes.free_port()
    folder = scene.folder / f"pgbouncer-{port}"
    folder.mkdir()
    users, config = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"postgres" "{PASSWORD}"\n')
    lines = ["[databases]", f"postgres = host=127.0.0.1 port={backend}", "[pgbouncer]", "listen_addr = 127.0.0.1"]
    lines += [f"listen_port = {port}", "unix_socket_dir =", "auth_type = scram-sha-256", f"auth_file = {users}"]
    lines += ["ignore_startup_parameters = extra_float_digits", *settings]
    config.write_text("\n".join(lines) + "\n")
    for path in (folder, users, config):
        shutil.chown(path, "postgres", "postgres")
    child = scene.processes.start(f"pgbouncer-{port}", [Path(program), config], user="postgres", folder=folder)
    scene.own(child)
    wait_until(lambda: b"process up" in child.log.read_bytes(), within=30, what="start PgBouncer", child=child)
    return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"


@beside("PgBouncer does not know the database (pgbouncer#1074)", fails(Reason.QUERY, "no such database"))
async def _(scene: Scene) -> Pair:
    server = await scene.postgres_server()
    url = await asyncio.to_thread(pooler, scene, server.port)
    return await scene.postgres(url.removesuffix("/postgres") + "/nowhere")


@beside("the database behind PgBouncer is down", fails(Reason.UNAVAILABLE))
async def _(scene: Scene) -> Pair:
    settings = ("server_login_retry = 1", "query_wait_timeout = 1")
    return await scene.postgres(await asyncio.to_thread(pooler, scene, scene.processes.free_port(), *settings))
