"""`deploywatch load`: against a model of a server whose figures are known, and as a user runs it, against real ones."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web as aiohttp_web

from deploywatch.clock import ManualClock
from deploywatch.demo.processes import Processes
from deploywatch.exporter.load.requests import Mix, Request
from deploywatch.exporter.load.result import Result, as_data, compare, corrected, from_data, measured, percentile
from deploywatch.exporter.load.run import Answer, Loop
from tests.exporter.test_commands import run

Write = Callable[[str], Path]
ONE = (Request(url="http://127.0.0.1/"),)


async def modelled(latency: Callable[[], float], *, users: int = 10, duration: float = 200.0) -> Result:
    """What a loop measures of a server with these latencies, in time that is moved by hand."""
    clock = ManualClock()
    loop = Loop(Mix(ONE), users, duration, 5.0, clock)

    async def ask(_: Request) -> str | None:
        await clock.sleep(latency())
        return None

    running = asyncio.create_task(loop.run(ask))
    await clock.advance(duration + 100)
    await running
    return measured(loop.answers, users, duration)


async def test_a_server_of_constant_latency_is_measured_exactly() -> None:
    result = await modelled(lambda: 0.05, duration=20)
    assert result.p50 == pytest.approx(0.05)
    assert result.p99 == pytest.approx(0.05)
    assert result.rate == pytest.approx(10 / 0.05, rel=0.05)
    assert result.corrected_p99 == pytest.approx(0.05)


async def test_the_figures_of_a_known_model_agree_within_5_percent() -> None:
    """Exponential latencies of mean 50 ms: percentiles are -ln(1-q) means, and ten users make 200 requests a second."""
    source = random.Random(4)  # noqa: S311 - a model
    result = await modelled(lambda: source.expovariate(1 / 0.05), duration=100)
    for share, value in ((0.5, result.p50), (0.9, result.p90), (0.95, result.p95), (0.99, result.p99)):
        assert value == pytest.approx(-math.log(1 - share) * 0.05, rel=0.05)
    assert result.mean == pytest.approx(0.05, rel=0.05)
    assert result.rate == pytest.approx(10 / 0.05, rel=0.05)


async def test_a_stall_that_a_closed_loop_hides_is_in_the_corrected_figure() -> None:
    """Every 10 s the server stands still for 2 s: a fifth of the time, which one request a user and stall sees."""
    clock = ManualClock()
    loop = Loop(Mix(ONE), 4, 60.0, 0.0, clock)

    async def ask(_: Request) -> str | None:
        into = clock.monotonic() % 10
        await clock.sleep(max(0.01, 10 - into) if into >= 8 else 0.01)
        return None

    running = asyncio.create_task(loop.run(ask))
    await clock.advance(160)
    await running
    result = measured(loop.answers, 4, 60.0)
    assert result.p95 == pytest.approx(0.01)
    # Asked at the usual pace, a quarter of the requests that wait at all wait longer than 1.5 s.
    assert result.corrected_p95 == pytest.approx(1.5, rel=0.05)


def test_what_varies_is_no_stall() -> None:
    answers = [Answer(float(n), 0.1 + 0.1 * (n % 2)) for n in range(100)]
    assert corrected(answers, 1) == sorted(answer.took for answer in answers)


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.9, 9), (0.95, 10), (1.0, 10), (0.0, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 11)], share) == value
    assert math.isnan(percentile([], share))


def runs(seed: int, mean: float, errors: int = 0) -> Result:
    source = random.Random(seed)  # noqa: S311 - a model
    answers = [Answer(n / 50, source.expovariate(1 / mean), "status 500" if n < errors else None) for n in range(1000)]
    return measured(answers, 10, 20.0)


def test_two_runs_of_one_server_are_within_noise_and_one_half_as_fast_is_not() -> None:
    same = [compare(runs(seed, 0.05), runs(seed + 100, 0.05))[0].within_noise for seed in range(100)]
    assert same.count(False) <= 10
    slower = [compare(runs(seed, 0.05), runs(seed + 100, 0.1))[0].within_noise for seed in range(20)]
    assert not any(slower)


@pytest.mark.parametrize(("before", "now", "noise"), [(0, 1, True), (10, 12, True), (0, 40, False), (40, 0, False)])
def test_errors_are_compared_as_shares_of_requests(before: int, now: int, noise: bool) -> None:
    assert compare(runs(1, 0.05, before), runs(2, 0.05, now))[2].within_noise is noise


def test_requests_come_in_the_proportion_of_their_weights() -> None:
    mix = Mix((Request(url="http://a/", weight=3), Request(url="http://b/")))
    urls = [mix.next().url for _ in range(4000)]
    assert urls.count("http://a/") == pytest.approx(3000, rel=0.05)


def test_a_result_without_an_answer_is_kept_too() -> None:
    empty = measured([], 1, 10.0)
    assert math.isnan(from_data(json.loads(json.dumps(as_data(empty)))).p95)
    assert compare(empty, runs(1, 0.05))[0].within_noise


class Server:
    """Answers /ok, /bad with 500, /slow after a while, and counts."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.seen: list[tuple[str, str, str, str]] = []

    async def answer(self, request: aiohttp_web.Request) -> aiohttp_web.Response:
        self.seen.append((request.method, request.path, request.headers.get("X-Test", ""), await request.text()))
        # One that answers at once is asked as often as a core can, for as long as a test lasts.
        await asyncio.sleep(0.4 if request.path == "/slow" else 0.02)
        return aiohttp_web.Response(status=500 if request.path == "/bad" else 200, text="hello")


@pytest.fixture
async def server(processes: Processes) -> AsyncIterator[Server]:
    server = Server(processes.free_port())
    app = aiohttp_web.Application()
    app.router.add_route("*", "/{page}", server.answer)
    runner = aiohttp_web.AppRunner(app)
    await runner.setup()
    await aiohttp_web.TCPSite(runner, "127.0.0.1", server.port).start()
    yield server
    await runner.cleanup()


QUICK = ("--duration", "2s", "--warm-up", "0s", "--users", "8")


async def test_requests_are_sent_as_told_and_a_baseline_is_saved_and_compared(server: Server, tmp_path: Path) -> None:
    saved = tmp_path / "base.json"
    post = ("--method", "post", "--header", "X-Test: yes", "--body", "hello", "--yes")
    first = await run("load", f"{server.url}/ok", *QUICK, *post, "--save", saved)
    assert first.returncode == 0, first.stderr
    assert set(server.seen) == {("POST", "/ok", "yes", "hello")}
    assert f"{json.loads(saved.read_text())['requests']} requests in 2.0 s by 8 users" in first.stdout
    assert len(server.seen) == json.loads(saved.read_text())["requests"]
    again = await run("load", f"{server.url}/ok", *QUICK, *post, "--baseline", saved, "--format", "json")
    assert again.returncode == 0, again.stderr
    assert set(json.loads(again.stdout)["compared"]) == {"p95", "requests/s", "errors"}


async def test_errors_warn_and_fail_only_if_strict(server: Server) -> None:
    loose = await run("load", f"{server.url}/bad", *QUICK, "--yes")
    assert loose.returncode == 0
    assert "warning: 100.0 % of requests failed, more than 5 %" in loose.stderr
    assert "x status 500" in loose.stdout
    strict = await run("load", f"{server.url}/bad", *QUICK, "--yes", "--strict")
    assert strict.returncode == 1
    assert "failed: 100.0 % of requests failed" in strict.stderr


async def test_too_few_requests_say_nothing(server: Server) -> None:
    ended = await run("load", f"{server.url}/slow", *QUICK, "--yes", "--slow", "100ms", "--strict")
    assert ended.returncode == 3
    assert "too few requests to say anything" in ended.stderr


async def test_nobody_listening_is_an_error_by_name() -> None:
    ended = await run("load", "http://127.0.0.1:1/", *QUICK, "--yes", "--format", "json")
    (reason,) = json.loads(ended.stdout)["errors"]
    assert reason.startswith("cannot connect: ")
    assert ended.returncode == 4
    assert "not one request was answered" in ended.stderr


async def test_a_bad_run_does_not_replace_a_baseline(server: Server, tmp_path: Path) -> None:
    saved = tmp_path / "base.json"
    first = await run("load", f"{server.url}/bad", *QUICK, "--yes", "--save", saved)
    assert (first.returncode, "not saved" in first.stderr) == (0, False)
    good = saved.read_text()
    second = await run("load", f"{server.url}/bad", *QUICK, "--yes", "--save", saved, "--baseline", saved)
    assert f"not saved: {saved} is kept" in second.stderr
    assert saved.read_text() == good


async def test_strangers_are_not_loaded(server: Server, write: Write) -> None:
    path = write(f'services: {{shop: {{probes: {{health: {{kind: http, url: "{server.url}/health"}}}}}}}}')
    alone = await run("load", f"{server.url}/ok", *QUICK)
    assert alone.returncode == 2
    assert "give --yes if it is yours to load" in alone.stderr
    stranger = await run("load", "http://127.0.0.1:1/", *QUICK, "--config.file", path)
    assert stranger.returncode == 2
    assert server.seen == []
    known = await run("load", f"{server.url}/ok", *QUICK, "--config.file", path)
    assert known.returncode == 0, known.stderr


async def test_several_requests_come_from_a_file(server: Server, write: Write) -> None:
    path = write(
        f"requests:\n- {{url: {server.url}/ok, weight: 3}}\n- {{url: {server.url}/two, method: PUT, body: x}}\n"
    )
    ended = await run("load", "--requests", path, *QUICK, "--yes")
    assert ended.returncode == 0, ended.stderr
    assert {(method, page) for method, page, *_ in server.seen} == {("GET", "/ok"), ("PUT", "/two")}


async def test_ctrl_c_shows_what_was_measured_and_saves_nothing(server: Server, tmp_path: Path) -> None:
    saved = tmp_path / "base.json"
    arguments = ["load", f"{server.url}/ok", "--duration", "10m", "--warm-up", "0s", "--yes", "--save", str(saved)]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploywatch", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(240):
        while len(server.seen) < 100:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = await running.communicate()
    assert running.returncode == 130
    assert b"latency: p50" in out
    assert b"these are the figures so far" in err
    assert not saved.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a URL, or --requests FILE"),
        (("ftp://host/",), "is no URL to load"),
        (("http://h/", "--duration", "2h"), "must be 0s to 1h"),
        (("http://h/", "--errors", "lots"), "write percent"),
        (("http://h/", "--header", "nonsense"), "is no header"),
        (("http://h/", "--users", "5000"), "1000"),
        (("http://h/", "--yes", "--baseline", "missing.json"), "missing.json: cannot be read"),
        (("http://h/", "--yes", "--save", "/not/there/base.json"), "/not/there/base.json: cannot be written"),
        (("http://h:99999/", "--yes"), "'http://h:99999/' has no good port"),
        (("http://h/", "--yes", "--header", "X: a\nHost: b"), "X: a header's value has no line ends"),
        (("http://h/", "--yes", "--header", "X Y: a"), "'X Y' is no name of a header"),
    ],
)
async def test_bad_usage_is_told(arguments: tuple[str, ...], words: str) -> None:
    ended = await run("load", *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"requests": "many"}'])
async def test_a_bad_baseline_is_told(write: Write, text: str) -> None:
    ended = await run("load", "http://127.0.0.1:1/", "--yes", "--baseline", write(text))
    assert ended.returncode == 2
    assert ".yml: " in ended.stderr
