"""The `redis` probe on a real cluster of three nodes, on a Sentinel, and on servers that turn us away."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from deploywatch.clock import SystemClock
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.demo.servers import Running
from deploywatch.exporter.access import AccessSettings
from deploywatch.exporter.net.databases.redis_connection import SILENT
from deploywatch.exporter.probes.redis import RedisSettings
from deploywatch.exporter.probing.run import run
from deploywatch.exporter.results import Reason
from tests.exporter.support import Talk, cut, eventually, measured, probe


@pytest.fixture(scope="module")
def cluster(processes: Processes, workshop: Path) -> Iterator[list[Running]]:
    """Three masters, and a replica of one of them."""
    nodes = [
        servers.redis(
            processes,
            workshop / f"cluster-{number}",
            options=("--cluster-enabled", "yes", "--cluster-port", str(processes.free_port()), "--appendonly", "no"),
        )
        for number in range(4)
    ]
    places = [f"127.0.0.1:{node.port}" for node in nodes]

    def cli(*words: str) -> str:
        return subprocess.run(["redis-cli", *words], capture_output=True, text=True, timeout=60, check=True).stdout

    def agreed() -> bool:
        return all("cluster_state:ok" in cli("-p", str(node.port), "cluster", "info") for node in nodes)

    cli("--cluster", "create", *places[:3], "--cluster-yes")
    wait_until(lambda: all("cluster_state:ok" in cli("-p", str(n.port), "cluster", "info") for n in nodes[:3]),
               within=90, what="form a cluster")  # fmt: skip
    cli("--cluster", "add-node", places[3], places[0], "--cluster-slave")
    wait_until(agreed, within=90, what="join a replica")
    wait_until(lambda: "master_link_status:up" in cli("-p", str(nodes[3].port), "info", "replication"),
               within=90, what="replicate")  # fmt: skip
    yield nodes
    for node in nodes:
        node.child.stop()


async def test_each_node_of_a_healthy_cluster_is_well_in_every_run(cluster: list[Running]) -> None:
    for node in cluster[:3]:
        for _ in range(5):
            result = await probe(kind="redis", url=node.url)
            assert result.success, result.detail


async def test_a_replica_of_a_cluster_says_what_to_write(cluster: list[Running]) -> None:
    result = await probe(kind="redis", url=cluster[3].url)
    assert result.reason is Reason.UNAVAILABLE
    assert "write round_trip: false" in result.detail
    assert (await probe(kind="redis", url=cluster[3].url, round_trip=False)).success


async def test_gauges_are_those_of_the_whole_cluster(cluster: list[Running]) -> None:
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster[0].port)
    for number in range(12):
        await client.rpush(f"queue:{number}", *range(number + 1))
    await client.set("shop:sales", 7)
    await client.aclose()
    for node in cluster[:3]:
        result = await probe(
            kind="redis",
            url=node.url,
            gauges={
                "queue_length": {"key": "queue:*", "label": "queue_id", "help": "L."},
                "queues": {"key": "queue:*", "read": "count", "help": "Q."},
                "sales_total": {"key": "shop:sales", "read": "value", "type": "counter", "help": "S."},
            },
        )
        assert result.success, result.detail
        values = measured(result)
        assert {values[f"queue_length{{queue_id={number}}}"] - number for number in range(12)} == {1}
        assert (values["queues"], values["sales_total"]) == (12, 7)


@pytest.mark.parametrize("endpoint", ["unknown-endpoint", "hostname"])
async def test_a_cluster_that_does_not_know_its_nodes_hosts_means_the_one_that_was_asked(
    cluster: list[Running], endpoint: str
) -> None:
    clients: list[Any] = [redis.asyncio.Redis(port=node.port) for node in cluster]
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster[0].port) as whole:
        await whole.set("shop:sales", 7)
    gauges = {
        "sales": {"key": "shop:sales", "read": "value", "help": "S."},
        "counted": {"key": "shop:sales*", "read": "count", "help": "C."},
    }
    try:
        for client in clients:
            await client.config_set("cluster-preferred-endpoint-type", endpoint)
        for node in cluster[:3]:
            result = await probe(kind="redis", url=node.url, gauges=gauges)
            assert result.success, result.detail
            assert (measured(result)["sales"], measured(result)["counted"]) == (7, 1)
    finally:
        for client in clients:
            await client.config_set("cluster-preferred-endpoint-type", "ip")
            await client.aclose()


async def test_a_key_whose_slot_is_on_its_way_to_another_node_is_read_there(cluster: list[Running]) -> None:
    clients: list[Any] = [redis.asyncio.Redis(port=node.port, decode_responses=True) for node in cluster[:3]]
    slot = await clients[0].execute_command("CLUSTER", "KEYSLOT", "moving:list")
    (owner,) = [client for client in clients if slot in await slots_of(client)]
    other = next(client for client in clients if client is not owner)
    old, new = [str(await client.execute_command("CLUSTER", "MYID")) for client in (owner, other)]
    async with other.client() as asking:
        try:
            await other.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old)
            await owner.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new)
            await asking.execute_command("ASKING")
            await asking.execute_command("RPUSH", "moving:list", "a", "b")
            gauges = {"length": {"key": "moving:list", "help": "L."}}
            for node in cluster[:3]:
                result = await probe(kind="redis", url=node.url, gauges=gauges)
                assert result.success, result.detail
                assert measured(result)["length"] == 2
        finally:
            await asking.execute_command("ASKING")
            await asking.execute_command("DEL", "moving:list")
            for client in (owner, other):
                await client.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
    for client in clients:
        await client.aclose()


async def slots_of(client: Any) -> range:
    """The slots of a node that has them in one piece."""
    lines = str(await client.execute_command("CLUSTER", "NODES")).splitlines()
    own = next(line for line in lines if "myself" in line)
    first, _, last = own.split()[-1].partition("-")
    return range(int(first), int(last) + 1)


async def test_a_sentinel_is_probed_without_a_round_trip(processes: Processes, workshop: Path) -> None:
    master = servers.redis(processes, workshop / "watched")
    config = workshop / "sentinel.conf"
    port = processes.free_port()
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master.port} 1\n")
    child = processes.start("sentinel", ["redis-server", config, "--sentinel"])
    url = f"redis://127.0.0.1:{port}/0"
    wait_until(lambda: b"Sentinel ID is" in child.log.read_bytes(), within=90, what="start Sentinel", child=child)
    assert (await probe(kind="redis", url=url, round_trip=False)).success
    stored = await probe(kind="redis", url=url)
    assert (stored.reason, "write round_trip: false" in stored.detail) == (Reason.QUERY, True)


async def test_a_server_with_too_many_clients_is_unavailable_in_its_own_words(
    processes: Processes, workshop: Path
) -> None:
    server = servers.redis(processes, workshop / "crowded", options=("--maxclients", "2"))
    held: list[asyncio.StreamWriter] = []

    async def crowded() -> bool:
        # Whoever saw that the server had started may still be one of its clients.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"PING\r\n")
        if await reader.readline() == b"+PONG\r\n":
            held.append(writer)
        else:
            writer.close()
        return len(held) == 2

    await eventually(crowded)
    for _ in range(10):
        result = await probe(kind="redis", url=server.url)
        assert (result.reason, "max number of clients" in result.detail) == (Reason.UNAVAILABLE, True), result.detail
    for writer in held:
        writer.close()


async def test_protected_mode_is_told_in_its_own_words(processes: Processes, workshop: Path) -> None:
    # It turns away whoever comes from another address than loopback; a default user without rights is like it.
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        for _ in range(10):
            result = await probe(kind="redis", url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
            assert (result.reason, "protected mode" in result.detail) == (Reason.AUTH, True), result.detail


async def test_a_frozen_server_is_told_apart_from_one_that_cannot_be_reached(
    processes: Processes, workshop: Path
) -> None:
    server = servers.redis(processes, workshop / "frozen")
    server.child.send(signal.SIGSTOP)
    try:
        result, _ = await cut(f"{SILENT}|PING", 0.5, kind="redis", url=server.url)
    finally:
        server.child.send(signal.SIGCONT)
    assert (result.reason, SILENT in result.detail or "PING" in result.detail) == (Reason.DEADLINE, True), result.detail


async def test_every_gauge_has_its_turn_and_the_bad_ones_are_named(redis_server: Running) -> None:
    client = redis.asyncio.from_url(redis_server.url)
    await client.set("shop:text", "many")
    await client.set("shop:number", "5")
    await client.aclose()
    gauges = {name: {"key": f"shop:{key}", "read": "value", "help": "H."} for name, key in
              (("a_rows", "text"), ("b_rows", "number"), ("c_rows", "text"))}  # fmt: skip
    result = await probe(kind="redis", url=redis_server.url, gauges=gauges, collect=["memory"])
    assert (result.reason, result.detail) == (
        Reason.VALUE,
        "shop:text holds a value that is not a number; also failed: gauge c_rows",
    )
    assert measured(result)["b_rows"] == 5


async def test_a_cluster_cannot_send_us_where_we_may_not_connect(tcp: Callable[[Talk], Awaitable[int]]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            for line in data.split(b"\r\n"):
                if line == b"PING":
                    writer.write(b"+PONG\r\n")
                elif line == b"GET":
                    writer.write(b"-MOVED 1 169.254.169.254:6379\r\n")
                elif line in {b"CLIENT", b"SELECT"}:
                    writer.write(b"+OK\r\n")

    settings = {
        "kind": "redis",
        "url": f"redis://127.0.0.1:{await tcp(talk)}/0",
        "round_trip": False,
        "gauges": {"sales": {"key": "sales", "read": "value", "help": "S."}},
    }
    made = RedisSettings.model_validate(settings)
    allowed = AccessSettings.model_validate({"allow": ["127.0.0.1"]}).allowed
    result = await run(made.probe(), limit=60, clock=SystemClock(), allowed=allowed)
    assert (result.reason, "169.254.169.254" in result.detail) == (Reason.FORBIDDEN, True), result.detail
