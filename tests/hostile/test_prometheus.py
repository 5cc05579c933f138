"""What a hostile Prometheus answers the commands of rules: text in a few words, a draft that is ours, and an end."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from ruamel.yaml import YAML

from deploywatch.cli import main
from deploywatch.errors import UnreachableError
from deploywatch.prometheus import Prometheus
from deploywatch.rules.live import asking
from tests.hostile.server import Answer, Hostile
from tests.hostile.texts import TEXTS, assert_text
from tests.support.policies import shop

COMMANDS = ("rules init", "rules check", "rules explain")
"""Those that ask a Prometheus; `test_commands.py` walks all that there are."""
LONG = 20_000
"""Characters that a command prints at most, whatever it was told."""


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    with Hostile() as server:
        yield server


@pytest.fixture
def run(
    hostile: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[int, str]]:
    """Runs a command against the server; its exit code, and all that it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yml").write_text(shop(""))
    words = {"init": (), "check": ("policy.yml",), "explain": ("policy.yml", "HighErrorRate")}

    def call(command: str, *more: str) -> tuple[int, str]:
        hostile.asked.clear()
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), *words[command.split()[1]], "--prometheus", hostile.url, *more])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        assert hostile.asked, said
        return ended.value.code, said.out + said.err

    return call


def _of_kind(data: Callable[[web.Request], Any], **more: Any) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        whole = {"status": "success", "data": data(request), **more}
        return web.Response(text=json.dumps(whole), content_type="application/json")

    return answer


def _always(data: Any) -> Answer:
    return _of_kind(lambda _: data)


def _telling(text: str) -> Answer:
    """Every text that Prometheus can tell, in the form in which it does."""
    metrics = ["http_requests_total", "http_request_duration_seconds_bucket", "up", f"{text}_requests_total"]

    def data(request: web.Request) -> Any:
        path = request.path.rpartition("/api/v1")[2]
        asked = request.query.get("query", "")
        if path == "/query":
            labels = dict.fromkeys(("service", "environment", "job", "namespace", "instance", text), text)
            labels |= {"le": "0.5", "status": "500"} if "topk" not in asked else {}
            value = [1, "NaN" if "quantile" in asked else "0.5"]
            return {"resultType": "vector", "result": [{"metric": labels, "value": value}]}
        if path == "/query_range":
            return {"resultType": "matrix", "result": [{"metric": {"service": text}, "values": [[1, "1"], [61, "0"]]}]}
        if path.startswith("/label/"):
            return [*metrics, text]
        if path == "/metadata":
            return {metric: [{"type": text, "help": text}] for metric in metrics}
        if path == "/alerts":
            ours = {"alertname": "HighErrorRate", "policy": "shop", "service": text, "environment": text}
            return {"alerts": [{"labels": ours, "state": text, "activeAt": text, "annotations": {text: text}}]}
        return {"version": text}

    return _of_kind(data, warnings=[text])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_it_tells_is_printed_as_text(
    hostile: Hostile, run: Callable[..., tuple[int, str]], command: str, name: str
) -> None:
    hostile.answer = _telling(TEXTS[name])
    code, said = run(command, *(("--over", "1d") if command == "rules check" else ()))
    assert code in {0, 1, 2, 4}, said
    assert len(set(hostile.asked)) > 1, said  # it went on after the first answer
    assert_text(said)
    assert len(said) < LONG


SERVICES = {
    "another key": "shop\nreceiver: {url: http://evil.example}\nx: ",
    "a comment": "shop # all of it",
    "a quote": 'shop", "x": "y',
    "a backslash": "shop\\",
    "a flow": "]} shop {[",
    "a line end of YAML": "shop\u2028receiver: {url: http://evil.example}",
    "a null": "null",
    "an alias": "*shop",
}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_label_s_value_is_no_yaml_of_the_draft(
    hostile: Hostile, run: Callable[..., tuple[int, str]], tmp_path: Path, service: str
) -> None:
    hostile.answer = _telling(service)
    code, said = run("rules init", "--out", "drafted.yml")
    if code:  # a value that a policy cannot select by is refused in words
        assert code == 2, said
        return
    drafted = YAML(typ="safe").load((tmp_path / "drafted.yml").read_text())
    assert drafted["receiver"] == {"url": "http://deploywatch:9872/webhook/alertmanager"}
    assert drafted["selectors"]["service"] == [service]
    assert drafted["about"] == f"{service}."


_TYPES: tuple[Any, ...] = (7, [7], [[]], [{"type": ["a"]}], [{"type": {}}])
_ALERTS: tuple[Any, ...] = (7, [7], [{}], [{"labels": 7}], [{"labels": {"alertname": ["HighErrorRate"]}}])
_STATS: tuple[Any, ...] = (7, [], {"timings": 7}, {"samples": []})
KINDS: tuple[Any, ...] = (
    *(None, 7, True, "text", [], {}, [7], ["text"], [[]], [None], [{}]),
    *({"result": []}, {"resultType": ["vector"], "result": [7]}, {"resultType": "vector", "result": {"a": 7}}),
    {"resultType": "scalar", "result": []},
    {"resultType": "scalar", "result": [1, {}]},
    *(
        {"resultType": "vector", "result": [{"metric": metric, "value": value}]}
        for metric, value in itertools.product(
            ([], {"service": 7}, {"service": None}, {"service": ["a"]}, {"service": {"a": "b"}}, {"le": "1e999999999"}),
            ([1, "1"], "1", [], [1, None], {"0": 1}),
        )
    ),
    *({"alerts": alerts} for alerts in _ALERTS),
    *({"http_requests_total": types} for types in _TYPES),
    *({"version": version} for version in (7, None, ["2"], {"a": 1}, "9" * 5000, "2.42.0-\u202e")),
    *({"stats": stats} for stats in _STATS),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_of_another_kind_is_refused_in_words(
    hostile: Hostile, run: Callable[..., tuple[int, str]], command: str
) -> None:
    for kind in KINDS:
        hostile.answer = _always(kind)
        code, said = run(command)
        assert code in {0, 1, 2, 4}, (kind, said)
        assert_text(said)
        assert len(said) < LONG


def _either(path: str, there: Answer, elsewhere: Answer) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await (there if request.path.endswith(path) else elsewhere)(request)

    return answer


@pytest.mark.parametrize("wrong", KINDS, ids=str)
def test_one_answer_of_another_kind_among_good_ones_is_refused_in_words(
    hostile: Hostile, run: Callable[..., tuple[int, str]], wrong: Any
) -> None:
    for command, path in itertools.product(COMMANDS, ("/query", "/label/__name__/values", "/metadata", "/alerts")):
        hostile.answer = _either(path, _always(wrong), _telling("shop"))
        code, said = run(command)
        assert code in {0, 1, 2, 4}, (path, said)
        assert_text(said)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("status", [200, 401, 422, 500])
async def test_a_refusal_is_a_few_words_on_one_line(hostile: Hostile, name: str, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = json.dumps({"status": "error", "error": TEXTS[name], "errorType": TEXTS[name]})
        return web.Response(status=status, text=body, content_type="application/json")

    hostile.answer = answer
    async with aiohttp.ClientSession() as session:
        with pytest.raises(UnreachableError) as refused:
            await Prometheus(hostile.url, session).query("1")
    assert_text(str(refused.value))
    assert (len(str(refused.value)) < 1000, str(refused.value).count("\n")) == (True, 0)


@pytest.mark.parametrize("warnings", [7, "down", {"a": 1}, [7], [None], [["down"]], [{}]], ids=str)
async def test_a_warning_of_another_kind_is_a_partial_answer(hostile: Hostile, warnings: Any) -> None:
    hostile.answer = _of_kind(lambda _: {"resultType": "vector", "result": []}, warnings=warnings)
    async with aiohttp.ClientSession() as session:
        asked = Prometheus(hostile.url, session)
        with pytest.raises(UnreachableError, match="partial answer"):
            await asked.query("1", whole=True)
        assert await asked.query("1") == []


@asynccontextmanager
async def _raw(write: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await write(writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def _said(answer: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0.05)

    return write


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


WAYS = {
    "silence": lambda _: asyncio.sleep(600),
    "a drip": _drip,
    "a flood": _flood,
    "a redirect": _said(b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\x1b[2J" + b"x" * 4000 + b"\r\n\r\n"),
    "deep JSON": _said(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000),
    "a page": _said(b"HTTP/1.1 502 \x1b[2JFORGED\r\nContent-Type: text/html\r\n\r\n<h1>\x1b[2J\r\nFORGED</h1>"),
    "no HTTP": _said(b"\x1b]52;c;ZXZpbA==\x07\r\nFORGED\r\n\r\n"),
    "half of it": _said(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"status":'),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_is_slow_endless_or_elsewhere_ends_in_a_few_words(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 1)
    (tmp_path / "token").write_text("a-token-of-ours")
    monkeypatch.setattr("deploywatch.prometheus._ANSWER_LIMIT", 1024**2)
    async with _raw(WAYS[way]) as url:
        words = ["rules", "init", "--prometheus", url, "--prometheus-token-file", str(tmp_path / "token")]
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, words)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (4, "")
    assert urlsplit(url).netloc in said.err
    assert_text(said.err)
    assert (len(said.err) < 1500, said.err.count("\n")) == (True, 1)
    assert "a-token-of-ours" not in said.err
    assert re.match("deploywatch: Prometheus at ", said.err)
