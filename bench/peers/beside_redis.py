"""Situations beside redis_exporter: servers that are well, that turn us away, and that only look well."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from functools import partial

import redis.asyncio

from bench.peers.pair import Pair
from bench.peers.scene import Scene
from bench.peers.situation import fails, situation, well
from deploywatch.demo import servers
from deploywatch.demo.processes import wait_until
from deploywatch.demo.servers import Running
from deploywatch.exporter.results import Reason
from tests.exporter.support import silent

beside = partial(situation, "redis_exporter")


async def server(scene: Scene, *options: str) -> Running:
    """A Redis of this situation alone."""
    folder = scene.folder / f"redis-{scene.processes.free_port()}"
    running = await asyncio.to_thread(servers.redis, scene.processes, folder, options=options)
    scene.own(running)
    return running


@beside("a healthy server", well())
async def _(scene: Scene) -> Pair:
    return await scene.redis((await scene.redis_server()).url)


@beside("nobody listens", fails(Reason.CONNECT_REFUSED))
async def _(scene: Scene) -> Pair:
    return await scene.redis(f"redis://127.0.0.1:{scene.processes.free_port()}/0")


@beside("a password is needed and none is given", fails(Reason.AUTH))
async def _(scene: Scene) -> Pair:
    return await scene.redis((await server(scene, "--requirepass", "s3cret")).url)


@beside("a wrong password", fails(Reason.AUTH))
async def _(scene: Scene) -> Pair:
    url = (await server(scene, "--requirepass", "s3cret")).url
    return await scene.redis(url.replace("redis://", "redis://:wr0ng@"))


async def taken(scene: Scene, port: int) -> None:
    """A connection that is held; the one that saw the server start may still be there for a moment."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        scene.stack.callback(writer.close)
        writer.write(b"PING\r\n")
        if (await reader.readline()).startswith(b"+PONG"):
            return


@beside("no more clients are taken (`maxclients`)", fails(Reason.UNAVAILABLE, "max number of clients"))
async def _(scene: Scene) -> Pair:
    running = await server(scene, "--maxclients", "2")
    for _ in range(2):
        await taken(scene, running.port)
    return await scene.redis(running.url)


@beside("the server takes the connection and says nothing", fails(Reason.DEADLINE, "says nothing"))
async def _(scene: Scene) -> Pair:
    return await scene.redis(f"redis://127.0.0.1:{await scene.tcp(silent)}/0")


@beside("the server is frozen (SIGSTOP)", fails(Reason.DEADLINE, "says nothing"))
async def _(scene: Scene) -> Pair:
    running = await server(scene)
    scene.stack.callback(running.child.send, signal.SIGCONT)
    running.child.send(signal.SIGSTOP)
    return await scene.redis(running.url)


@beside("memory is full: writes are refused", fails(Reason.UNAVAILABLE, "maxmemory"))
async def _(scene: Scene) -> Pair:
    return await scene.redis((await server(scene, "--maxmemory", "1", "--maxmemory-policy", "noeviction")).url)


@beside("too few replicas: writes are refused (NOREPLICAS)", fails(Reason.UNAVAILABLE, "NOREPLICAS"))
async def _(scene: Scene) -> Pair:
    return await scene.redis((await server(scene, "--min-replicas-to-write", "1")).url)


@beside("a replica, where a master is expected", fails(Reason.UNAVAILABLE, "read only"))
async def _(scene: Scene) -> Pair:
    master = await server(scene)
    replica = await server(scene, "--replicaof", f"127.0.0.1 {master.port}")
    cli = ["redis-cli", "-p", str(replica.port), "info", "replication"]
    await asyncio.to_thread(
        wait_until,
        lambda: b"master_link_status:up" in subprocess.run(cli, capture_output=True, check=False).stdout,
        within=60,
        what="replicate",
    )
    return await scene.redis(replica.url, theirs_shown=("redis_connected_slaves",))


@beside("a user who may not call INFO", well())
async def _(scene: Scene) -> Pair:
    running = await server(scene, "--user", "prober", "on", ">pr0be", "~*", "+ping", "+set", "+get", "+select")
    return await scene.redis(running.url.replace("redis://", "redis://prober:pr0be@"))


async def queue(scene: Scene) -> Running:
    """A Redis with a queue of three and a word."""
    running = await server(scene)
    client = redis.asyncio.Redis.from_url(running.url)
    await client.rpush("queue:mail", "a", "b", "c")
    await client.set("word", "hello")
    await client.aclose()
    return running


def gauge(key: str, **more: str) -> dict[str, object]:
    """A gauge of ours from a key."""
    return {"gauges": {"queue_length": {"key": key, "help": "L.", **more}}}


@beside("the length of a list", well(queue_length=3))
async def _(scene: Scene) -> Pair:
    options = ["-check-single-keys=db0=queue:mail"]
    shown = ("queue_length",)
    return await scene.redis(
        (await queue(scene)).url, gauge("queue:mail"), options=options, shown=shown, theirs_shown=("redis_key_size",)
    )


@beside("a key whose value is no number", fails(Reason.VALUE))
async def _(scene: Scene) -> Pair:
    options = ["-check-single-keys=db0=word"]
    theirs = ("redis_key_value{", "redis_key_size")
    return await scene.redis(
        (await queue(scene)).url, gauge("word", read="value"), options=options, theirs_shown=theirs
    )


@beside("a certificate for another host", fails(Reason.TLS_VERIFY, has=("probe_ssl_earliest_cert_expiry",)))
async def _(scene: Scene) -> Pair:
    certificate = scene.folder / "redis.pem"
    issued = scene.certs.authority.issue_cert("shop.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    port = scene.processes.free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)]
    await server(scene, *options, "--tls-ca-cert-file", scene.certs.ca_file, "--tls-auth-clients", "no")
    shown = ("probe_ssl_earliest_cert_expiry",)
    return await scene.redis(
        f"rediss://127.0.0.1:{port}/0",
        {"tls": {"ca_file": scene.certs.ca_file}},
        options=[f"-tls-ca-cert-file={scene.certs.ca_file}"],
        shown=shown,
    )


async def cluster(scene: Scene) -> list[Running]:
    """Three masters."""
    options = ("--cluster-enabled", "yes", "--cluster-port")
    nodes = [await server(scene, *options, str(scene.processes.free_port())) for _ in range(3)]
    places = [f"127.0.0.1:{node.port}" for node in nodes]
    run = partial(subprocess.run, capture_output=True, text=True, timeout=60, check=True)
    await asyncio.to_thread(run, ["redis-cli", "--cluster", "create", *places, "--cluster-yes"])

    def agreed() -> bool:
        answers = [run(["redis-cli", "-p", str(node.port), "cluster", "info"]).stdout for node in nodes]
        return all("cluster_state:ok" in text for text in answers)

    await asyncio.to_thread(wait_until, agreed, within=60, what="form a cluster")
    return nodes


@beside("a list that another node of the cluster has", well(queue_length=3))
async def _(scene: Scene) -> Pair:
    nodes = await cluster(scene)
    client = redis.asyncio.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    await client.rpush("queue:mail", "a", "b", "c")
    owner = client.get_node_from_key("queue:mail")
    await client.aclose()
    stranger = next(node for node in nodes if owner is None or node.port != owner.port)
    return await scene.redis(
        stranger.url,
        gauge("queue:mail"),
        options=["-check-single-keys=db0=queue:mail"],
        shown=("queue_length",),
        theirs_shown=("redis_key_size",),
    )


@beside("a node of a healthy cluster, by writing and reading a key", well())
async def _(scene: Scene) -> Pair:
    return await scene.redis((await cluster(scene))[0].url)
