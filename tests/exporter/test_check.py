"""One shot: which probes it runs, and how it tells what it found."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from aiohttp import web as aiohttp_web
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from deploywatch.clock import SystemClock
from deploywatch.exporter import config
from deploywatch.exporter.check import Checked, Wanted, all_targets, check
from deploywatch.exporter.commands import changes
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.health.probes import ProbeHealth
from deploywatch.exporter.pacing import AT_ONE_SERVER
from deploywatch.exporter.reports import junit, plain, table
from deploywatch.exporter.results import Application, Reason, Result, State, StepResult
from deploywatch.exporter.settings.selection import LEVELS, SMOKE, Selection
from deploywatch.exporter.targets import Key
from tests.exporter.support import Talk, Web, eventually, silent
from tests.support import forked

Write = Callable[[str], Path]

GOOD = Result(1_700_000_000.5, 0.01)
BAD = Result(1_700_000_001.5, 0.02, Reason.DNS, "the name does not resolve")
PROBE = "kind: redis, url: 'redis://127.0.0.1:1'"
CONFIG = f"""
services:
  shop:
    probes:
      health: {{{PROBE}, tags: [critical]}}
      login: {{{PROBE}, tags: [smoke]}}
      disk: {{{PROBE}, layer: comprehensive}}
      sales: {{{PROBE}, layer: business, tags: [smoke, money]}}
smoke: {{money: {{layers: [business], tags: [money]}}}}
"""


def parsed(text: str | bytes) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - of our own making


def found(*results: Result | None) -> Checked:
    return Checked(tuple(ProbeHealth(Key("shop", "test", f"p{n}"), "http", result) for n, result in enumerate(results)))


@pytest.mark.parametrize(
    ("selection", "probes"),
    [
        (LEVELS["basic"], {"health", "login"}),
        (LEVELS["detailed"], {"health", "login", "disk"}),
        (LEVELS["comprehensive"], {"health", "login", "disk", "sales"}),
        (SMOKE["critical"], {"health"}),
        (SMOKE["full"], {"health", "login", "sales"}),
    ],
)
def test_levels_go_by_layer_and_smoke_suites_by_tag(write: Write, selection: Selection, probes: set[str]) -> None:
    chosen = Wanted(selections=(selection,)).of(all_targets(config.load(write(CONFIG))))
    assert {target.key.probe for target in chosen} == probes


def test_a_config_has_suites_of_its_own(write: Write) -> None:
    settings = config.load(write(CONFIG))
    chosen = Wanted(selections=(settings.all_smoke()["money"],)).of(all_targets(settings))
    assert [target.key.probe for target in chosen] == ["sales"]


async def test_each_probe_is_run_once_and_told_of_when_it_ended(web: Web, write: Write) -> None:
    settings = config.load(
        write(f"""
services:
  shop: {{depends_on: [mail], probes: {{api: {{kind: http, url: "{web.say("/", "hello")}"}}}}}}
  mail: {{probes: {{api: {{kind: http, url: "{web.url}/nothing"}}}}}}
""")
    )
    ended: list[str] = []
    checked = await check(
        all_targets(settings), settings, clock=SystemClock(), done=lambda probe: ended.append(probe.key.service)
    )
    assert sorted(ended) == ["mail", "shop"]
    assert len(web.requests) == 2
    assert not checked.well
    shop = next(service for service in checked.services() if service.key.service == "shop")
    assert shop.body()["dependencies"]["mail"]["status"] == "unhealthy"


def test_the_table_says_why() -> None:
    console = Console(file=io.StringIO(), width=120)
    table.show(found(GOOD, BAD), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "dns: the name does not resolve" in text
    assert "1 of 2 probes succeeded" in text


DEGRADED = Result(1.0, 0.01, application=Application(state=State.DEGRADED, status="ok, but not well: db"))


def test_what_a_degraded_service_says_is_in_every_report() -> None:
    console = Console(file=io.StringIO(), width=200)
    table.show(found(DEGRADED), console)
    assert isinstance(console.file, io.StringIO)
    assert "it says: ok, but not well: db" in console.file.getvalue()
    assert json.loads(plain.text(found(DEGRADED)))["services"][0]["probes"]["p0"]["says"] == "ok, but not well: db"
    for result in (DEGRADED, replace(DEGRADED, steps=(StepResult("a", 0.1), StepResult("b", 0.1)))):
        root = parsed(junit.text(found(result)))
        assert root.get("failures") == "0"
        assert [out.text for out in root.iter("system-out")] == ["degraded: it says: ok, but not well: db"]


def test_target_since_when_and_who_needs_it_are_told_with_a_failure() -> None:
    failing = ProbeHealth(Key("mail", "test", "smtp"), "tcp", BAD, "mail.example:25", 1_700_000_000.0)
    checked = Checked((failing,), {ServiceKey("shop", "test"): ("mail",)})
    console = Console(file=io.StringIO(), width=200)
    table.show(checked, console)
    assert isinstance(console.file, io.StringIO)
    assert all(fact in console.file.getvalue() for fact in ("mail.example:25", "22:13:20", "mail is needed by shop"))
    (told,) = (failure.get("message") for failure in parsed(junit.text(checked)).iter("failure"))
    assert told == (
        "dns: the name does not resolve (target: mail.example:25; failing since: 2023-11-14T22:13:20.000Z;"
        " needed by: shop)"
    )
    assert json.loads(plain.text(checked))["services"][0]["dependents"] == ["shop"]


def test_a_flow_that_fails_without_a_step_that_did_is_a_failure_in_junit() -> None:
    broken = Result(1.0, 1.0, Reason.VALUE, "there is more than one value", steps=(StepResult("a", 0.1),))
    assert parsed(junit.text(found(broken))).get("failures") == "1"


def test_json_has_the_form_of_the_health_answers() -> None:
    body = json.loads(plain.text(found(GOOD, BAD)))
    assert (body["status"], body["services"][0]["status"]) == ("unhealthy", "degraded")
    assert body["services"][0]["probes"]["p1"]["reason"] == "dns"


def test_junit_has_a_suite_a_service_and_a_case_a_probe() -> None:
    root = parsed(junit.text(found(GOOD, BAD)))
    (suite,) = root
    assert (root.get("tests"), root.get("failures"), suite.get("name")) == ("2", "1", "shop (test)")
    assert suite.get("timestamp") == "2023-11-14T22:13:20.500"
    good, bad = suite
    assert (good.get("classname"), good.get("name"), good.get("time"), len(good)) == ("shop.test", "p0", "0.010000", 0)
    assert (bad[0].tag, bad[0].get("type")) == ("failure", "dns")
    assert bad[0].get("message") == "dns: the name does not resolve"


def test_junit_has_a_case_a_step_with_its_time_and_error() -> None:
    steps = (
        StepResult("open", 0.25),
        StepResult("login", 0.5, Reason.STATUS, "status 401, not 2xx"),
        StepResult("me", 0.0, Reason.SKIPPED, "it needs token"),
        StepResult("pay", 0.125, Reason.BODY, "the body does not match"),
        StepResult("bye", 0.25),
    )
    flow = Result(1.0, 1.125, Reason.STATUS, "step login: status 401, not 2xx; also failed: me, pay", steps=steps)
    root = parsed(junit.text(found(flow, GOOD)))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("6", "2", "1")
    cases = root[0].findall("testcase")
    assert [(case.get("name"), case.get("time")) for case in cases[:5]] == [
        ("open", "0.250000"), ("login", "0.500000"), ("me", "0.000000"), ("pay", "0.125000"), ("bye", "0.250000"),
    ]  # fmt: skip
    assert cases[3][0].get("message") == "body: the body does not match"
    facts = "(target: https://shop.example; failing since: 2023-11-14T22:13:20.000Z; needed by: web)"
    failing = ProbeHealth(Key("shop", "test", "flow"), "flow", flow, "https://shop.example", 1_700_000_000.0)
    root = parsed(junit.text(Checked((failing,), {ServiceKey("web", "test"): ("shop",)})))
    assert [case.get("message") for case in root.iter("failure")] == [
        f"status: status 401, not 2xx {facts}", f"body: the body does not match {facts}",
    ]  # fmt: skip
    assert cases[2][0].tag == "skipped"
    shown = json.loads(plain.text(found(flow)))["services"][0]["probes"]["p0"]["steps"]
    assert shown[3] == {
        "name": "pay", "response_time_seconds": 0.125, "reason": "body", "detail": "the body does not match",
    }  # fmt: skip


async def test_many_probes_of_one_server_are_not_slow_by_our_own_load(web: Web, write: Write) -> None:
    at_once = most = 0

    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        return aiohttp_web.Response()

    url = web.on("/", slow)
    probes = ", ".join(f"p{n}: {{kind: http, url: '{url}'}}" for n in range(500))
    settings = config.load(write(f"services: {{shop: {{probes: {{{probes}}}}}}}"))
    checked = await check(all_targets(settings), settings, clock=SystemClock())
    assert checked.well
    assert most <= AT_ONE_SERVER


async def test_a_server_that_hangs_does_not_make_a_check_endless(
    write: Write, tcp: Callable[[Talk], Awaitable[int]]
) -> None:
    port = await tcp(silent)
    probes = ", ".join(f"p{n}: {{kind: redis, url: 'redis://127.0.0.1:{port}', timeout: 300ms}}" for n in range(60))
    settings = config.load(write(f"services: {{shop: {{probes: {{{probes}}}}}}}"))
    async with asyncio.timeout(240):
        checked = await check(all_targets(settings), settings, clock=SystemClock())
    assert {probe.result.reason for probe in checked.probes if probe.result} <= {
        Reason.DEADLINE,
        Reason.CONNECT_TIMEOUT,
    }


def test_that_the_machine_was_the_limit_is_said() -> None:
    assert found(GOOD).remark is None
    busy = replace(found(GOOD), lag=0.25)
    assert "busy and up to 250 ms late" in (busy.remark or "")
    assert json.loads(plain.text(busy))["remark"] == busy.remark


def test_a_watch_keeps_since_when_a_probe_fails() -> None:
    first, second = (replace(found(BAD), probes=(replace(found(BAD).probes[0], failing_since=t),)) for t in (1.0, 9.0))
    assert second.after(first).probes[0].failing_since == 1.0
    assert second.after(found(GOOD)).probes[0].failing_since == 9.0


@given(st.text(max_size=30))
def test_junit_can_always_be_read(detail: str) -> None:
    root = parsed(junit.text(found(Result(1.0, 1.0, Reason.BODY, detail))).encode())
    assert root.get("failures") == "1"


def test_a_watch_tells_what_has_changed() -> None:
    assert changes(found(GOOD, BAD, GOOD), found(BAD, GOOD, GOOD)) == [
        "\ashop/test/p0 fails: dns: the name does not resolve",
        "shop/test/p1 works again",
    ]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return forked.run("check", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", "basik"], "no such level; did you mean 'basic'?"),
        (["--smoke", "all"], "no such smoke; known: critical, full"),
        (["--smoke", "critical"], "no probe has tag critical; write layer: or tags: at the probes"),
        (["--watch", "0s"], "must be more than 0s"),
        (["--watch", "5"], "not a duration"),
    ],
)
def test_what_cannot_be_checked_is_told_and_exits_2(write: Write, arguments: list[str], message: str) -> None:
    path = write(f"services: {{shop: {{probes: {{health: {{{PROBE}}}}}}}}}")
    done = run("--config.file", path, *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_a_level_is_checked_and_told_to_ci(write: Write) -> None:
    done = run("--config.file", write(CONFIG), "--smoke", "critical", "--format", "junit")
    assert done.returncode == 1
    assert [case.get("name") for case in parsed(done.stdout).iter("testcase")] == ["health"]
    assert done.stderr == ""


async def test_a_watch_checks_until_it_is_interrupted(web: Web, write: Write) -> None:
    path = write(f"services: {{shop: {{probes: {{api: {{kind: http, url: '{web.say('/', 'hello')}'}}}}}}}}")
    async with running("--config.file", str(path), "--watch", "50ms") as (process, told):
        await eventually(lambda: len(web.requests) >= 3)
        web.say("/", status=500)
        seen = len(web.requests)
        await eventually(lambda: len(web.requests) >= seen + 3)
        process.send_signal(signal.SIGINT)
        output, errors = await told
    assert process.returncode == 1
    assert output.count(b"1 of 1 probe succeeded") >= 3
    assert errors.decode() == "\ashop/default/api fails: status: status 500, not 2xx\n"


async def test_on_a_terminal_a_bar_shows_how_far_it_is_and_leaves_nothing_behind(web: Web, write: Write) -> None:
    released = asyncio.Event()

    async def slow(_: aiohttp_web.BaseRequest) -> aiohttp_web.Response:
        await released.wait()
        return aiohttp_web.Response()

    urls = {"fast": web.say("/fast"), "slow": web.on("/slow", slow)}
    probes = ", ".join(f"{name}: {{kind: http, url: '{url}'}}" for name, url in urls.items())
    path = write(f"services: {{shop: {{probes: {{{probes}}}}}}}")
    with terminal() as (end, shown):
        async with running("--config.file", str(path), errors=end) as (process, told):
            await eventually(lambda: b"1/2" in shown())
            released.set()
            # The terminal has to be read until then, lest it be full.
            await eventually(lambda: bool(shown()) and told.done())
            output, _ = await told
        assert process.returncode == 0
        assert b"2 of 2 probes succeeded" in output
        assert b"probing" not in output
        _, erased, rest = shown().rpartition(b"\x1b[2K")
        assert erased
        assert b"probing" not in rest


@asynccontextmanager
async def running(
    *arguments: str, errors: int = asyncio.subprocess.PIPE
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.Task[tuple[bytes, bytes]]]]:
    """A check under way, and what it says until its end; it does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploywatch", "check", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "TERM": "xterm"},
    )
    told = asyncio.create_task(process.communicate())
    try:
        yield process, told
    finally:
        if process.returncode is None:
            process.kill()
        await told


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A pseudo terminal: the end for a process, and what was written to it so far."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    written = bytearray()

    def shown() -> bytes:
        with suppress(BlockingIOError):
            while piece := os.read(ours, 65536):
                written.extend(piece)
        return bytes(written)

    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        os.close(ours)
