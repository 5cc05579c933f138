"""The scene of each benchmark starts, and answers as it is asked there; how fast, no test says."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bench.commands import __main__ as commands
from bench.exporter import cpu, floor, start
from bench.exporter.__main__ import Bench as ExporterBench
from bench.exporter.cpu import Setting
from bench.receiver import load
from bench.receiver.backlog import CHANNELS, drain
from bench.receiver.fairness import beside, large
from bench.receiver.load import Load
from bench.receiver.often import INTERVALS
from bench.receiver.servers import Place, get
from bench.receiver_actions.__main__ import Ports, settings
from bench.receiver_actions.sides import Sides, run
from bench.rules import load as rules
from bench.rules.prometheus import started
from deploywatch.demo.processes import Processes
from deploywatch.pages import live

MAINS = sorted(path.parent.name for path in Path(importlib.import_module("bench").__path__[0]).glob("*/__main__.py"))


@pytest.mark.parametrize("name", MAINS)
def test_a_benchmark_that_is_asked_for_help_runs_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"bench.{name}.__main__").main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: bench.{name}")


def test_all_that_streams_wait_for_is_shortened_where_they_are_told_ten_times_as_often() -> None:
    assert set(INTERVALS) == {name for name in vars(live) if name.endswith("_SECONDS") and not name.startswith("_")}


async def test_the_receivers_webhooks_are_taken_and_everybody_is_told(processes: Processes, tmp_path: Path) -> None:
    place = Place(processes, tmp_path)
    ports = Ports(*(processes.free_port() for _ in range(3)))
    server = await asyncio.to_thread(place.receiver_with, "bench-receiver", settings(place.database("scene"), ports))
    ran = await run(Sides(server.port, ports.http, ports.smtp, ports.fifth, rate=10, seconds=0.1, hangs=False))
    assert (ran.bad, ran.missing) == (0, 0)
    for new in (False, True):
        seen = await load.run(Load(server.port, alerts=2, new=new, seconds=60, connections=1, most=1))
        assert (seen.good, seen.bad, seen.refusal) == (1, 0, "")
    _, delays = await beside(server.port, large(3))
    assert delays
    assert "deploywatch_webhooks_total" in await asyncio.to_thread(get, server, "/metrics")
    assert all(await asyncio.to_thread(commands.measure, server, 1))
    await asyncio.to_thread(server.child.stop)


async def test_a_refusal_of_what_a_benchmark_posts_is_told_in_its_words(processes: Processes, tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        seen = await load.run(Load(port, alerts=1, new=False, seconds=60, connections=1, most=2))
    assert (seen.good, seen.bad, seen.refusal) == (0, 2, "403: no")


async def test_the_exporter_and_its_peer_probe_the_target(processes: Processes, tmp_path: Path) -> None:
    bench = ExporterBench(processes, tmp_path, minutes=0, rounds=0)
    setting = Setting(bench.tls_urls(2), bench.authority, interval=0.5, seconds=0.5)
    server = await asyncio.to_thread(cpu.start_exporter, processes, tmp_path, cpu.exporter_config(setting), "scene")
    async with aiohttp.ClientSession() as session:
        while cpu.value(text := await cpu.scrape(session, server.url), "probe_runs_total") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # until each has run
    assert cpu.value(text, "probe_success") == 2
    context = ssl.create_default_context(cafile=bench.authority)
    port = int(bench.tls_urls(1)[0].rpartition(":")[2].rstrip("/"))
    assert await asyncio.to_thread(floor.seconds, partial(floor.secured, "127.0.0.1", port, context), 1) >= 0
    peer = await asyncio.to_thread(cpu.start_blackbox, processes, tmp_path, setting)
    assert await cpu.blackbox(peer, setting) >= 0


async def test_the_server_that_counts_connections_counts_one(processes: Processes) -> None:
    port = await start.counting(processes, "counting-scene")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.2:{port}/") as answer:
            assert await answer.text() == "well"
        assert await start.most(session, port) == 1


def test_prometheus_takes_the_rules_that_are_measured(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    rules.generated([rules.policy()], folder)
    with started(tmp_path / "prometheus") as bench:
        bench.take(folder)


@pytest.mark.heavy
async def test_a_backlog_is_told_and_a_critical_alert_is_not_behind_it(processes: Processes, tmp_path: Path) -> None:
    place = Place(processes, tmp_path)
    drained = await drain(place, "backlog", place.database("backlog"), incidents=2)
    assert drained.jobs == 2 * CHANNELS
    assert len(drained.first) == 3
    assert drained.messages >= drained.jobs
