"""PostgreSQL's URLs: what libpq understands is honoured, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import Running
from deploywatch.exporter.net.databases.dsn import parse_dsn
from deploywatch.exporter.probes.postgres import PostgresSettings
from deploywatch.exporter.results import Reason
from tests.exporter.support import measured, probe, silent


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u@h/db", (("h", 5432),)),
        ("postgresql://u@h1:5432,h2:6432/db", (("h1", 5432), ("h2", 6432))),
        ("postgresql://u@h1,[::1]:7/db", (("h1", 5432), ("::1", 7))),
        ("postgresql:///db?host=h1,h2&port=1", (("h1", 1), ("h2", 1))),
        ("postgres:///db", (None,)),
        ("postgresql:///db?host=/run/postgresql", (("/run/postgresql", 5432),)),
        ("postgresql://%2Frun%2Fpostgresql/db", (("/run/postgresql", 5432),)),
    ],
)
def test_hosts_are_read_as_libpq_reads_them(text: str, hosts: tuple[Any, ...]) -> None:
    assert parse_dsn(text).hosts == hosts


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("service=shop", "service: its file"),
        ("keepalives_idle=3", "keepalives_idle: keepalives are always on"),
        ("conect_timeout=5", "did you mean 'connect_timeout'"),
        ("connect_timeout=soon", "connect_timeout: 'soon' is no whole number"),
        ("work_mem=64MB", "options=-c%20work_mem"),
        ("client_encoding=latin1", "client_encoding: answers are always read as UTF-8"),
        ("target_session_attrs=any-one", "target_session_attrs"),
        ("sslmode=on", "sslmode: 'on' is none of disable, allow"),
        ("ssl_min_protocol_version=1.2", "ssl_min_protocol_version: '1.2' is none of TLSv1, "),
        ("sslsni=0", "sslsni: the name is always sent"),
        ("application_name=a#b", "has a #, after which nothing is read; write it as %23"),
        ("connect_timeout=5&connect_timeout=9", "connect_timeout is there twice"),
        ("sslmode=require&SSLMODE=disable", "sslmode is there twice"),
        ("options=work_mem", "options: 'work_mem' is not understood"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name_when_the_config_is_checked(query: str, name: str) -> None:
    with pytest.raises(ValidationError, match=name.replace("[", "\\[").replace("(", "\\(")):
        PostgresSettings.model_validate({"kind": "postgres", "dsn": f"postgresql://u:s3cretive@h/db?{query}"})


@pytest.mark.parametrize("dsn", ["http://a", "postgresql://u@h:x/db", "postgresql://u@h1:5432,h2:0/db", "h/db"])
def test_what_is_no_url_of_postgresql_is_said_to_be_none(dsn: str) -> None:
    with pytest.raises(ValidationError, match="not a PostgreSQL URL"):
        PostgresSettings.model_validate({"kind": "postgres", "dsn": dsn})


async def test_its_parameters_reach_the_server(postgres_server: Running) -> None:
    parameters = "connect_timeout=5&application_name=shop&options=-c%20work_mem%3D1234kB&timezone=UTC"
    queries = {"mem": {"sql": "SELECT current_setting('work_mem') AS mem, application_name AS name, 1 AS value"
                              " FROM pg_stat_activity WHERE pid = pg_backend_pid()", "help": "M."}}  # fmt: skip
    result = await probe(kind="postgres", dsn=f"{postgres_server.url}?{parameters}", queries=queries)
    assert result.success, result.detail
    assert "mem{mem=1234kB,name=shop}" in measured(result)


async def test_the_next_host_is_tried_when_one_is_dead_or_says_nothing(
    postgres_server: Running, processes: Processes, tcp: Any
) -> None:
    dead, mute = processes.free_port(), await tcp(silent)
    for first in (dead, mute):
        dsn = postgres_server.url.replace("@", f"@127.0.0.1:{first},")
        limits = iter((4, 40))  # the silent one takes its share of it
        while not (result := await probe(next(limits), kind="postgres", dsn=dsn)).success:
            assert result.reason is Reason.DEADLINE, result.detail
    standby = f"{postgres_server.url}?target_session_attrs=standby"
    result = await probe(kind="postgres", dsn=standby)
    assert (result.reason, result.detail) == (Reason.UNAVAILABLE, "no host is as target_session_attrs asks")
    assert (await probe(kind="postgres", dsn=standby.replace("=standby", "=prefer-standby"))).success


async def test_a_connect_timeout_of_the_url_ends_the_attempt(tcp: Any) -> None:
    result = await probe(kind="postgres", dsn=f"postgresql://u@127.0.0.1:{await tcp(silent)}/db?connect_timeout=2")
    assert (result.reason, "not done within 2 s" in result.detail) == (Reason.DEADLINE, True)
