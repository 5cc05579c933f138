"""What a hostile or broken client sends: an answer that says what is wrong, bounded memory, and others are served."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.receiver.process import RealReceiver, ask
from tests.receiver.scene import alert, alert_json, body
from tests.support.forked import ForkedProcesses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATH = "/webhook/alertmanager"
MEGABYTE = 1024**2
CALM = 300 * MEGABYTE
"""What the process may need in memory at most, whatever comes in."""
HEAD = b"POST /webhook/alertmanager HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RealReceiver]:
    """A receiver that runs, with an incident of a neighbour."""
    with ForkedProcesses(tmp_path / "logs") as processes:
        running = RealReceiver(processes, tmp_path)
        running.configure(database="sqlite:///store.db")
        running.start()
        assert running.post(PATH, body(alert(service="neighbour"))) == (200, "committed\n")
        yield running


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """End a connection, whatever is still to be sent over it."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


def peak(receiver: RealReceiver) -> int:
    """The most memory that the process has needed so far, in bytes."""
    assert receiver.child is not None
    status = Path(f"/proc/{receiver.child.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


@asynccontextmanager
async def served_meanwhile(receiver: RealReceiver) -> AsyncIterator[None]:
    """While the block lasts, and once more at its end, a neighbour's webhooks are all taken."""
    over = asyncio.Event()

    async def neighbour() -> int:
        count = 0
        while not over.is_set() or not count:
            answer = await asyncio.to_thread(receiver.post, PATH, body(alert(f"n{count}", service="neighbour")))
            assert answer == (200, "committed\n"), f"the neighbour's webhook {count}: {answer}"
            count += 1
        return count

    task = asyncio.create_task(neighbour())
    try:
        yield
    finally:
        over.set()
        assert await task > 0
        assert receiver.child is not None
        assert receiver.child.running


def _deep(depth: int) -> bytes:
    return b'{"version":"4","alerts":' + b"[" * depth + b"]" * depth + b"}"


def _with(**changes: Any) -> bytes:
    return body(alerts=[alert_json(alert()) | changes])


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not JSON": (lambda: b"\x00" * 1000, "not an Alertmanager webhook of version 4"),
    "deep lists": (lambda: _deep(1_000_000), "not an Alertmanager webhook of version 4"),
    "deep objects": (lambda: b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000, "not an Alertmanager webhook"),
    "deep labels": (lambda: _with(labels={"a": json.loads("[" * 200 + "]" * 200)}), ": Invalid JSON: recursion"),
    "invalid UTF-8": (lambda: _with(labels={"service": "@"}).replace(b"@", b"\xff\xfe"), "not an Alertmanager"),
    "a list": (lambda: b"[]", "$: "),
    "alerts that are a number": (lambda: body(alerts=7), "$.alerts"),
    "a number of a million digits": (lambda: b'{"version":' + b"9" * 1_000_000 + b"}", "not an Alertmanager webhook"),
    "a label that is a number": (lambda: _with(labels={"service": 7}), "$.alerts[0].labels.service"),
    "10 MB of a label name": (lambda: _with(labels={"n" * 10 * MEGABYTE: 7}), "$.alerts[0].labels"),
    "100,000 bad alerts": (lambda: body(alerts=[{}] * 100_000), "$.alerts[0]"),
    "40 MB": (lambda: b" " * 40 * MEGABYTE, "the body is larger than"),
}
LEFT_OUT = {"a label that is a number", "deep labels"}
"""One alert of the webhook is wrong: the webhook is taken, and the alert is counted as left out."""


@pytest.mark.parametrize("name", REFUSED)
async def test_what_can_never_be_right_is_refused_in_few_words(receiver: RealReceiver, name: str) -> None:
    make, reason = REFUSED[name]
    async with served_meanwhile(receiver):
        status, text = await asyncio.to_thread(_post, receiver, make())
    if name in LEFT_OUT:
        assert status == 200, text
    else:
        assert status in {400, 0}  # a connection that is closed while we still send is an answer too
        assert reason in text or status == 0
    assert len(text) < 20_000
    assert peak(receiver) < CALM


def _post(receiver: RealReceiver, data: bytes) -> tuple[int, str]:
    return receiver.post(PATH, data)


async def test_a_label_of_10_mb_is_an_incident_like_any_other(receiver: RealReceiver) -> None:
    huge = alert(service="huge", note="x" * 10 * MEGABYTE)
    async with served_meanwhile(receiver):
        assert (await asyncio.to_thread(_post, receiver, body(huge)))[0] == 200
    assert "huge" in {row["service"] for row in receiver.json("/api/v1/incidents")}
    assert peak(receiver) < CALM


async def test_100_000_alerts_in_one_webhook_are_all_taken(receiver: RealReceiver) -> None:
    alerts = [alert_json(alert(f"A{number}", service=f"s{number % 100}")) for number in range(100_000)]
    data = body(alerts=alerts)
    del alerts
    assert len(data) < 32 * MEGABYTE
    async with served_meanwhile(receiver):
        assert (await asyncio.to_thread(_post, receiver, data))[0] == 200
    assert len(receiver.json("/api/v1/incidents?limit=1000")) == 101
    # The largest body that there can be, and as much again for what is read from it.
    assert peak(receiver) < CALM + 2 * len(data)


async def test_bodies_that_never_end_are_bounded(receiver: RealReceiver) -> None:
    chunk = b"%x\r\n" % MEGABYTE + b" " * MEGABYTE + b"\r\n"

    async def endless() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(100):
                writer.write(chunk)
                await writer.drain()
            return await reader.read(1000)
        except ConnectionError:
            return b""
        finally:
            await hang_up(writer)

    async with served_meanwhile(receiver):
        answers = await asyncio.gather(*(endless() for _ in range(8)))
    assert all(not answer or re.match(rb"HTTP/1.1 (400|503) ", answer) for answer in answers)
    assert peak(receiver) < CALM


SLOW = {
    "connections that send nothing": b"",
    "half a head": HEAD,
    "a body that never comes": HEAD + b"Content-Length: 33000000\r\n\r\n",
    "a body in chunks that never come": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("name", SLOW)
async def test_500_connections_that_dawdle_keep_nobody_else_from_being_served(
    receiver: RealReceiver, name: str
) -> None:
    async with served_meanwhile(receiver):
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", receiver.port) for _ in range(500)))
        for _, writer in opened:
            writer.write(SLOW[name])
        await asyncio.gather(*(writer.drain() for _, writer in opened))
        ready = await asyncio.to_thread(ask, f"{receiver.url}/-/ready")
        assert ready[0] == 200
    # All of them are open still, and a neighbour is taken.
    assert receiver.post(PATH, body(alert("after", service="neighbour"))) == (200, "committed\n")
    await asyncio.gather(*(hang_up(writer) for _, writer in opened))
    assert peak(receiver) < CALM
