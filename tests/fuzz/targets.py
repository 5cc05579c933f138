"""The readers that are fuzzed: each takes any bytes, and refuses what it cannot read in its own words only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploywatch import config
from deploywatch.access.settings import WebConfig
from deploywatch.clock import SystemClock
from deploywatch.errors import ConfigError
from deploywatch.exporter import config as exporter_config
from deploywatch.exporter.net.health import body as health_body
from deploywatch.exporter.net.health.resources import HealthUnits
from deploywatch.exporter.net.http.reading.response_parser import read_response
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Failed
from deploywatch.files import yaml_reader
from deploywatch.receiver.intake import payload
from deploywatch.receiver.intake.payload import RejectedError
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.rules.loading import checked
from tests.receiver.scene import alert, alert_json, body, ended

TOP = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOWHERE = Path("/nowhere")
_MOST_WORDS = 200_000


@dataclass(frozen=True, slots=True)
class Target:
    """One reader; `longest` bounds the inputs in bytes."""

    name: str
    consume: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    longest: int = 4096

    def found(self) -> Iterator[bytes]:
        """What was found before: it must never be trouble again."""
        for path in sorted((FOUND / self.name).glob("*")):
            yield path.read_bytes()


def _webhook(data: bytes) -> None:
    try:
        delivery = payload.understand(data, NOW, {"environment": "staging"})
    except RejectedError as error:
        _printable(str(error), within=_MOST_WORDS)
        return
    for taken in delivery.alerts:
        assert taken.labels["environment"] == "staging"
        json.dumps([dict(taken.labels), dict(taken.annotations), taken.fingerprint]).encode()
        assert taken.starts_at.tzinfo is not None
        assert taken.ends_at is None or taken.ends_at.tzinfo is not None


def _webhooks() -> Iterator[bytes]:
    fired = alert(annotations={"summary": "5%", "runbook_url": "https://r.example"})
    yield body(fired)
    yield body(ended(fired), alert("HighLatency", severity="critical"))
    yield body(alerts=[alert_json(fired) | {"labels": {"service": 7, "a": None}}])
    yield body(alerts=[alert_json(fired) | {"values": {"A": 1e99}, "silenceURL": "http://g"}], version="1", orgId=1)
    yield b"\xef\xbb\xbf" + body(fired)


def _health_body(data: bytes) -> None:
    measurement = Measurement(SystemClock(), 0.0)
    try:
        health_body.note_health(health_body.read(data), HealthUnits(), measurement)
    except Failed as failed:
        failed.detail.encode("utf-8", "replace")
    for sample in measurement.samples:
        float(sample.value)
        assert all(isinstance(value, str) for _, value in sample.labels)


def _health_bodies() -> Iterator[bytes]:
    from tests.exporter.net import test_health_body as forms  # noqa: PLC0415 - its bodies alone

    for name in ("IETF", "SPRING", "ASP_NET", "MICROPROFILE", "TERMINUS", "SOURCE_000"):
        yield json.dumps(getattr(forms, name)).encode()
    yield b'{"status": "healthy", "metrics": {"memoryUsage": {"rss": 1000}, "cpuUsage": 24000, "errorRate": 2}}'
    yield b"Healthy"


def _response(data: bytes) -> None:
    """The first byte says in what pieces it comes, and to which method it answers."""
    if not data:
        return
    size, method = 1 + data[0] % 64, ("GET", "HEAD", "POST")[data[0] % 3]
    pieces = iter([data[at : at + size] for at in range(1, len(data), size)])

    async def receive() -> bytes:
        return next(pieces, b"")

    async def read() -> None:
        response = await read_response(await receive(), receive, method, 1000)
        assert len(response.body) <= 1000
        assert 100 <= response.status <= 999
        assert response.content_length >= -1

    with contextlib.suppress(Failed):
        asyncio.run(read())


def _responses() -> Iterator[bytes]:
    for head in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n<html>",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 1\r\nContent-Length: 2\r\n folded: x\r\n\r\nab",
    ):
        yield b"\x07" + head
        yield b"\x30" + head


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _policy(data: bytes) -> None:
    _refuses(lambda: checked(yaml_reader.read(_text(data), "policy.yml", {"HOME": "x"}), NOWHERE))


def _policies() -> Iterator[bytes]:
    """Whole ones would be read a few times a second; each bad one is small, and shows another thing to be read."""
    yield from (path.read_bytes() for path in sorted((TOP / "tests" / "rules" / "bad").glob("*.yml")))


def _config(data: bytes) -> None:
    """The first byte says whose config it is: reading one text three times would be a third as many texts."""
    text = _text(data[1:])
    if data[:1] in (b"", b"e"):
        _refuses(lambda: exporter_config.load_text(text, NOWHERE / "exporter.yml", variables={"HOME": "x"}))
        return
    model = (ReceiverConfig, WebConfig)[data[0] % 2]
    _refuses(lambda: config.build(yaml_reader.read(text, "a.yml", {"HOME": "x"}), model, base=NOWHERE))


def _printable(words: str, *, within: int = 10**7) -> None:
    assert 0 < len(words) < within
    words.encode("utf-8", "replace")


def _refuses(read: Callable[[], object]) -> None:
    """Read it; or ConfigError, whose every problem has a place and words that can be printed."""
    try:
        read()
    except ConfigError as error:
        _printable("\n".join(map(str, error.problems)))


def _configs() -> Iterator[bytes]:
    """Each block of the pages, for whom its page is; a page of both is for all."""
    for page in sorted((TOP / "docs").rglob("*.md")):
        owners = b"e" if "exporter" in page.parts or "probes" in page.parts else b"rw"
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            yield from (bytes([owner]) + block.encode() for owner in owners)
    for owner in b"erw":
        yield bytes([owner]) + b"a: &a [1, *a]\n<<: {b: ${HOME}, c: ${NONE:-x}}\n"


TARGETS = {
    target.name: target
    for target in (
        Target("webhook", _webhook, _webhooks),
        Target("health_body", _health_body, _health_bodies),
        Target("response", _response, _responses),
        Target("policy", _policy, _policies, longest=2048),
        Target("config", _config, _configs, longest=2048),
    )
}
