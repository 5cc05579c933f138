"""The private servers come up, answer, and are gone afterwards."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, StartError, wait_until
from deploywatch.demo.servers import Running


async def test_postgres_answers_a_query(postgres_server: Running) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    try:
        assert await connection.fetchval("select 1") == 1
    finally:
        await connection.close()


async def test_redis_answers_a_ping(redis_server: Running) -> None:
    client = redis.asyncio.from_url(redis_server.url)
    try:
        assert await client.ping()
    finally:
        await client.aclose()


def test_leaving_the_block_stops_every_child(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("sleeper", ["sh", "-c", "sleep 1000 & wait"])
    assert not child.running


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("loser", ["sh", "-c", "echo no luck; exit 3"])
        with pytest.raises(StartError, match=r"loser ended with code 3(.|\n)*no luck"):
            wait_until(lambda: False, within=90, what="start the loser", child=child)


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(StartError, match="apt-get install no-such-server"):
        servers._program("no-such-server")
