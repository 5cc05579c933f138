"""What the `postgres` probe collects of the server itself: connections, replication, size, locks; and over TLS."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme
from pydantic import ValidationError

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.demo.servers import Running
from deploywatch.exporter.results import Reason, Result
from tests.exporter.certs import Certs
from tests.exporter.support import eventually, measured, probe


async def collected(server: Running, *statistics: str, **more: Any) -> dict[str, float]:
    """What a run that succeeds measures."""
    result = await probe(kind="postgres", dsn=server.url, collect=list(statistics), **more)
    assert result.success, result.detail
    return measured(result)


async def test_nothing_is_collected_unasked(postgres_server: Running) -> None:
    assert not any(name.startswith("probe_postgres_connections") for name in await collected(postgres_server))


async def test_connections_are_counted_by_state_against_what_is_allowed(postgres_server: Running) -> None:
    others = [await asyncpg.connect(postgres_server.url) for _ in range(3)]
    await others[0].execute("BEGIN")
    values = await collected(postgres_server, "connections")
    assert values["probe_postgres_connections{state=idle in transaction}"] == 1
    assert values["probe_postgres_connections{state=idle}"] >= 2
    assert values["probe_postgres_connections{state=active}"] >= 1
    assert values["probe_postgres_connections{state=disabled}"] == 0
    assert values["probe_postgres_max_connections"] == 97
    total = sum(value for name, value in values.items() if name.startswith("probe_postgres_connections{"))
    assert values["probe_postgres_connections_used_ratio"] == pytest.approx(total / 97)
    for other in others:
        other.terminate()


async def test_a_user_without_rights_sees_the_others_as_unknown(postgres_server: Running) -> None:
    other = await asyncpg.connect(postgres_server.url)
    await other.execute("DROP ROLE IF EXISTS humble; CREATE ROLE humble LOGIN PASSWORD 'x'")
    dsn = postgres_server.url.replace("postgres:demo-password", "humble:x")
    values = measured(await probe(kind="postgres", dsn=dsn, collect=["connections", "replication", "size", "locks"]))
    assert values["probe_postgres_connections{state=unknown}"] >= 1
    assert values["probe_postgres_database_size_bytes"] > 0
    other.terminate()


async def test_the_size_of_the_database_is_told(postgres_server: Running) -> None:
    assert (await collected(postgres_server, "size"))["probe_postgres_database_size_bytes"] > 1_000_000


async def test_who_waits_for_a_lock_is_counted(postgres_server: Running) -> None:
    quiet = await collected(postgres_server, "locks")
    assert quiet["probe_postgres_locks_waiting"] == 0
    assert quiet["probe_postgres_longest_lock_wait_seconds"] == 0
    holder, waiter = [await asyncpg.connect(postgres_server.url) for _ in range(2)]
    await holder.execute("SELECT pg_advisory_lock(1)")
    waiting = asyncio.create_task(waiter.execute("SELECT pg_advisory_lock(1)"))

    async def seen() -> bool:
        values = await collected(postgres_server, "locks")
        waits = values["probe_postgres_longest_lock_wait_seconds"]
        return values["probe_postgres_locks_waiting"] == 1 and 0 < waits < 10

    await eventually(seen)
    holder.terminate()
    await waiting
    waiter.terminate()


async def test_what_is_unknown_is_refused_in_the_config() -> None:
    with pytest.raises(ValidationError):
        await probe(kind="postgres", dsn="postgresql://a/b", collect=["everything"])


@pytest.fixture
def replica(postgres_server: Running, processes: Processes, workshop: Path) -> Iterator[Running]:
    """A replica that streams from the server of the other tests."""
    folder = workshop / "replica"
    folder.mkdir()
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    binaries = servers._postgres_binaries()
    port = processes.free_port()
    copy: list[str | Path] = [
        binaries / "pg_basebackup",
        "-d",
        postgres_server.url,
        "-D",
        folder / "data",
        "-R",
        "-X",
        "stream",
        "-c",
        "fast",
    ]
    made = processes.start("pg_basebackup", copy, user=user, folder=folder)
    assert made.process.wait(90) == 0, made.tail()
    settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-p", str(port)]
    command += [part for setting in settings for part in ("-c", setting)]
    child = processes.start("replica", command, user=user, folder=folder, stop_signal=signal.SIGINT)
    yield Running(child, port, postgres_server.url.replace(str(postgres_server.port), str(port)))
    child.stop()


async def test_replication_is_told_from_both_ends(postgres_server: Running, replica: Running) -> None:
    alone = await collected(postgres_server, "replication")
    assert alone["probe_postgres_replica"] == 0

    async def connected() -> bool:
        values = await collected(postgres_server, "replication")
        return values["probe_postgres_connected_replicas"] == 1 and any("lag_bytes" in name for name in values)

    await eventually(connected)

    async def follows() -> bool:
        result: Result = await probe(kind="postgres", dsn=replica.url, collect=["replication"])
        values = measured(result)
        return values.get("probe_postgres_replica") == 1 and values["probe_postgres_replication_lag_seconds"] >= 0

    await eventually(follows)


@pytest.fixture(scope="module")
def guarded(processes: Processes, workshop: Path, certs: Certs) -> Iterator[Running]:
    """A PostgreSQL that speaks TLS, with a certificate for localhost."""
    folder = workshop / "guarded-postgres"
    folder.mkdir()
    issued = certs.authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "server.pem").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(folder / "server.pem", pwd.getpwnam("postgres").pw_uid, -1)
    options = ["ssl=on", f"ssl_cert_file={folder / 'server.pem'}", f"ssl_key_file={folder / 'server.pem'}"]
    server = servers.postgres(processes, folder, options=options)
    ready: list[str | Path] = [servers._postgres_binaries() / "pg_isready", "-h", "127.0.0.1", "-p", str(server.port)]
    wait_until(
        lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0,
        within=90,
        what="take connections",
        child=server.child,
    )
    yield server
    server.child.stop()


class TestTls:
    """Over TLS."""

    async def test_a_trusted_certificate_is_a_success_with_its_expiry(self, guarded: Running, certs: Certs) -> None:
        dsn = guarded.url.replace("127.0.0.1", "localhost")
        result = await probe(kind="postgres", dsn=dsn, tls={"ca_file": certs.ca_file})
        assert result.success, result.detail
        assert measured(result)["probe_ssl_earliest_cert_expiry"] > result.started

    async def test_libpqs_own_parameters_do_as_well(self, guarded: Running, certs: Certs) -> None:
        dsn = guarded.url.replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={certs.ca_file}"
        assert (await probe(kind="postgres", dsn=dsn)).success
        wrong = await probe(kind="postgres", dsn=dsn.replace("localhost", "127.0.0.1"))
        assert wrong.reason is Reason.TLS_VERIFY

    async def test_a_certificate_for_another_host_is_the_reason(self, guarded: Running, certs: Certs) -> None:
        wrong = await probe(kind="postgres", dsn=guarded.url, tls={"ca_file": certs.ca_file})
        assert wrong.reason is Reason.TLS_VERIFY
        named = {"ca_file": certs.ca_file, "server_name": "localhost"}
        assert (await probe(kind="postgres", dsn=guarded.url, tls=named)).success

    async def test_an_unknown_authority_is_the_reason(self, guarded: Running) -> None:
        dsn = guarded.url.replace("127.0.0.1", "localhost")
        assert (await probe(kind="postgres", dsn=dsn, tls={})).reason is Reason.TLS_VERIFY
        assert (await probe(kind="postgres", dsn=dsn, tls={"verify": False})).success

    async def test_the_expiry_is_shown_also_when_the_certificate_or_the_login_is_refused(
        self, guarded: Running, certs: Certs
    ) -> None:
        dsn = guarded.url.replace("127.0.0.1", "localhost")
        for wrong, reason, problem in (
            ({"tls": {}}, Reason.TLS_VERIFY, "unknown_authority"),
            ({"tls": {"ca_file": certs.ca_file, "server_name": "other.example"}}, Reason.TLS_VERIFY, "hostname"),
        ):
            values = measured(result := await probe(kind="postgres", dsn=dsn, **wrong))
            assert result.reason is reason, result.detail
            assert values["probe_ssl_earliest_cert_expiry"] > result.started
            assert values[f"probe_tls_verify_failure_info{{problem={problem}}}"] == 1
            assert "probe_ip_protocol" in values
        nobody = dsn.rpartition("/")[0] + "/no_such_database"
        values = measured(result := await probe(kind="postgres", dsn=nobody, tls={"ca_file": certs.ca_file}))
        assert result.reason is Reason.QUERY, result.detail
        assert values["probe_ssl_earliest_cert_expiry"] > result.started
        strangers = certs.folder / "strangers.pem"
        trustme.CA().cert_pem.write_to_path(str(strangers))
        urls_own = await probe(kind="postgres", dsn=f"{dsn}?sslmode=verify-full&sslrootcert={strangers}")
        assert urls_own.reason is Reason.TLS_VERIFY, urls_own.detail
        assert measured(urls_own)["probe_ssl_earliest_cert_expiry"] > urls_own.started

    async def test_a_server_without_tls_is_the_reason(self, postgres_server: Running) -> None:
        result = await probe(kind="postgres", dsn=postgres_server.url, tls={"verify": False})
        assert result.reason is Reason.TLS, result.detail

    async def test_the_certificate_can_be_looked_at_without_a_login(self, guarded: Running, certs: Certs) -> None:
        address, tls = f"localhost:{guarded.port}", {"ca_file": certs.ca_file}
        result = await probe(kind="tls", address=address, starttls="postgres", tls=tls)
        assert result.success, result.detail
