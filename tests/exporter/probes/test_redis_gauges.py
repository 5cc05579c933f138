"""Gauges of the `redis` probe from keys and from INFO; and its ways to connect: TLS, a unix socket, as a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from pydantic import ValidationError

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.demo.servers import Running
from deploywatch.exporter.net.databases import keys
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.support import eventually, measured, probe


@pytest.fixture
async def client(any_redis: Running) -> AsyncIterator[Any]:
    """A client of an empty database that only these tests use."""
    made = redis.asyncio.from_url(own(any_redis))
    await made.flushdb()
    yield made
    await made.aclose()


def own(server: Running) -> str:
    """The URL of a database that only these tests use."""
    return server.url.replace("/0", "/7")


async def gauged(server: Running, **gauge: Any) -> Result:
    """Run the probe with one gauge, `queue_length`."""
    return await probe(kind="redis", url=own(server), gauges={"queue_length": {"help": "L.", **gauge}})


async def test_each_key_of_a_pattern_becomes_a_series_whatever_its_type(any_redis: Running, client: Any) -> None:
    await client.rpush("queue:mail", "a", "b", "c")
    await client.sadd("queue:set", "a")
    await client.zadd("queue:sorted", {"a": 1, "b": 2})
    await client.xadd("queue:stream", {"a": 1})
    await client.hset("queue:hash", mapping={"a": 1, "b": 2})
    await client.set("queue:text", "12345")
    await client.set("other", "x")
    result = await gauged(any_redis, key="queue:*", label="queue_id")
    assert result.success, result.detail
    lengths = {name: value for name, value in measured(result).items() if name.startswith("queue_length")}
    assert lengths == {
        "queue_length{queue_id=mail}": 3,
        "queue_length{queue_id=set}": 1,
        "queue_length{queue_id=sorted}": 2,
        "queue_length{queue_id=stream}": 1,
        "queue_length{queue_id=hash}": 2,
        "queue_length{queue_id=text}": 5,
    }


async def test_what_stands_in_the_middle_is_the_label(any_redis: Running, client: Any) -> None:
    await client.rpush(b"queue:\xff\xc3\xa9:waiting", "a")
    values = measured(await gauged(any_redis, key="queue:*:waiting", label="queue_id"))
    assert values["queue_length{queue_id=\ufffdé}"] == 1


async def test_a_single_key_needs_no_label_and_is_empty_when_it_is_not_there(any_redis: Running, client: Any) -> None:
    assert measured(await gauged(any_redis, key="queue"))["queue_length"] == 0
    await client.rpush("queue", "a", "b")
    assert measured(await gauged(any_redis, key="queue"))["queue_length"] == 2


async def test_values_and_counts_are_read(any_redis: Running, client: Any) -> None:
    assert "queue_length" not in measured(await gauged(any_redis, key="connections", read="value"))
    await client.set("connections", "42.5")
    assert measured(await gauged(any_redis, key="connections", read="value"))["queue_length"] == 42.5
    await client.mset({f"session:{number}": "x" for number in range(2500)})
    assert measured(await gauged(any_redis, key="session:*", read="count"))["queue_length"] == 2500


async def test_a_value_that_is_no_number_is_the_reason_and_is_not_shown(any_redis: Running, client: Any) -> None:
    await client.set("connections", "s3cret")
    result = await gauged(any_redis, key="connections", read="value")
    assert (result.reason, result.detail) == (Reason.VALUE, "connections holds a value that is not a number")


@pytest.mark.parametrize("text", ["nan", "1_000", "9" * 400, "0x10", "١"])
async def test_what_python_alone_takes_for_a_number_is_none(redis_server: Running, text: str) -> None:
    client = redis.asyncio.from_url(own(redis_server))
    await client.set("odd:a", text)
    result = await gauged(redis_server, key="odd:*", label="q", read="value")
    await client.aclose()
    assert (result.reason, result.detail) == (Reason.VALUE, "odd:a holds a value that is not a number")


async def test_a_value_of_another_type_is_the_reason(any_redis: Running, client: Any) -> None:
    await client.rpush("connections", "1")
    assert (await gauged(any_redis, key="connections", read="value")).reason is Reason.QUERY


async def test_more_keys_than_allowed_are_the_reason(any_redis: Running, client: Any) -> None:
    await client.mset({f"queue:{number}": "x" for number in range(11)})
    result = await gauged(any_redis, key="queue:*", label="queue_id", max_keys=10)
    assert (result.reason, result.detail) == (
        Reason.TOO_LARGE,
        "gauge queue_length: more than 10 keys match queue:*; at least 11 do",
    )


async def test_a_scan_ends_where_it_would_load_the_server(
    any_redis: Running, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_SCAN_CALLS", 10)
    fill = "for n = 1, 150000 do redis.call('SET', 'session:' .. n, '') end"
    await client.eval(fill, 0)
    result = await gauged(any_redis, key="queue:*", label="queue_id")
    await client.flushdb()
    assert (result.reason, result.detail) == (
        Reason.TOO_LARGE,
        "gauge queue_length: more than 10 calls of SCAN would be needed",
    )


@pytest.mark.parametrize(
    "gauge",
    [
        {"key": "a*"},
        {"key": "a", "label": "b"},
        {"key": "*a*", "label": "b"},
        {"key": "a?", "label": "b"},
        {"key": "a", "read": "count"},
        {"key": "a*", "read": "count", "label": "b"},
        {"key": "a*", "label": "service"},
        {"key": "", "label": "b"},
    ],
)
async def test_a_gauge_that_makes_no_sense_is_refused_in_the_config(gauge: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        await probe(kind="redis", url="redis://a", gauges={"size": {"help": "S.", **gauge}})


async def test_tls_settings_without_tls_are_refused_in_the_config() -> None:
    with pytest.raises(ValidationError, match="rediss"):
        await probe(kind="redis", url="redis://a", tls={})


async def test_memory_clients_and_the_role_are_collected(any_redis: Running) -> None:
    result = await probe(kind="redis", url=own(any_redis), collect=["memory", "clients", "replication"])
    assert result.success, result.detail
    values = measured(result)
    assert values["probe_redis_memory_used_bytes"] > 100_000
    assert values["probe_redis_memory_max_bytes"] == 0
    assert values["probe_redis_connected_clients"] >= 1
    assert values["probe_redis_blocked_clients"] == 0
    assert values["probe_redis_max_clients"] > 1
    assert values["probe_redis_replica"] == 0
    assert values["probe_redis_connected_replicas"] == 0
    assert "probe_redis_replication_link_up" not in values


async def test_a_replica_tells_of_its_link_and_is_probed_without_writing(
    any_redis: Running, redis_program: str, processes: Processes, workshop: Path, client: Any
) -> None:
    await client.config_set("repl-diskless-sync-delay", 0)
    options = ["--replicaof", "127.0.0.1", str(any_redis.port)]
    server = servers.redis(processes, workshop / f"replica-{redis_program}", options=options, program=redis_program)
    settings: dict[str, Any] = {"kind": "redis", "url": server.url, "collect": ["replication"]}

    async def linked() -> bool:
        return measured(await probe(**settings, round_trip=False)).get("probe_redis_replication_link_up") == 1

    try:
        await eventually(linked)
        values = measured(await probe(**settings, round_trip=False))
        assert values["probe_redis_replica"] == 1
        assert values["probe_redis_replication_last_io_seconds"] >= 0
        assert (await probe(**settings)).reason is Reason.UNAVAILABLE
    finally:
        server.child.stop()


@pytest.fixture(scope="module")
def guarded(processes: Processes, workshop: Path, certs: Certs, redis_program: str) -> Iterator[tuple[int, Path]]:
    """A Redis with an ACL user that speaks TLS, on the port given, and plainly on the unix socket given."""
    folder = workshop / f"guarded-tls-{redis_program}"
    folder.mkdir()
    issued = certs.authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    port, socket = processes.free_port(), folder / "redis.sock"
    options = ["--tls-port", str(port), "--tls-cert-file", str(folder / "server.pem")]
    options += ["--tls-key-file", str(folder / "server.pem"), "--tls-ca-cert-file", certs.ca_file]
    options += ["--tls-auth-clients", "no", "--unixsocket", str(socket), "--requirepass", "s3cret"]
    commands = "+ping +set +get +select +info +scan +type +llen +scard +zcard +xlen +hlen +strlen"
    options += ["--user", "prober", "on", ">pr0be", "~deploywatch:probe:*", "~queue:*", *commands.split()]
    server = servers.redis(processes, folder, options=options, program=redis_program)
    wait_until(socket.exists, within=90, what="make its socket", child=server.child)
    yield port, socket
    server.child.stop()


async def test_over_tls_as_a_user_with_just_these_rights_all_works(guarded: tuple[int, Path], certs: Certs) -> None:
    result = await probe(
        kind="redis",
        url=f"rediss://localhost:{guarded[0]}/0",
        username="prober",
        password="pr0be",
        tls={"ca_file": certs.ca_file},
        collect=["memory"],
        gauges={"queue_length": {"key": "queue:*", "label": "queue_id", "help": "L."}},
    )
    assert result.success, result.detail
    assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started


async def test_over_tls_a_certificate_must_be_trusted_and_for_the_host(guarded: tuple[int, Path], certs: Certs) -> None:
    url = f"rediss://:s3cret@localhost:{guarded[0]}/0"
    assert (await probe(kind="redis", url=url)).reason is Reason.TLS_VERIFY
    elsewhere = url.replace("localhost", "127.0.0.1")
    assert (await probe(kind="redis", url=elsewhere, tls={"ca_file": certs.ca_file})).reason is Reason.TLS_VERIFY
    assert (await probe(kind="redis", url=elsewhere, tls={"verify": False})).success


async def test_the_expiry_is_shown_also_when_the_certificate_or_the_login_is_refused(
    guarded: tuple[int, Path], certs: Certs
) -> None:
    url, trusted = f"rediss://:s3cret@localhost:{guarded[0]}/0", {"ca_file": certs.ca_file}
    for settings, reason, problem in (
        ({"url": url}, Reason.TLS_VERIFY, "unknown_authority"),
        ({"url": url, "tls": trusted | {"server_name": "other.example"}}, Reason.TLS_VERIFY, "hostname"),
        ({"url": url.replace("s3cret", "wrong"), "tls": trusted}, Reason.AUTH, None),
    ):
        values = measured(result := await probe(kind="redis", **settings))
        assert result.reason is reason, result.detail
        assert values["probe_ssl_earliest_cert_expiry"] > result.started
        assert "probe_ip_protocol" in values
        assert problem is None or values[f"probe_tls_verify_failure_info{{problem={problem}}}"] == 1


async def test_a_unix_socket_is_as_good(guarded: tuple[int, Path]) -> None:
    result = await probe(kind="redis", url=f"unix://:s3cret@{guarded[1]}?db=2")
    assert result.success, result.detail
    assert (await probe(kind="redis", url=f"unix://{guarded[1]}")).reason is Reason.AUTH
    assert (await probe(kind="redis", url=f"unix://{guarded[1]}.gone")).reason is Reason.UNREACHABLE
