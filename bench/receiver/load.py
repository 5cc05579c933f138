"""Posts webhooks as fast as they are answered, or at a rate; in a process of its own, so that it delays nobody else.

`python -m bench.receiver.load '{"port": 9872, "alerts": 10, "new": false, "seconds": 5, "connections": 32}'` prints
what it saw as JSON. Without `rate` each connection waits for its answer before it posts again; with it, so many a
second are posted whatever the answers, and each is timed from the moment at which it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from statistics import quantiles

SERVICES = 100
TOKEN = "alertmanager-of-the-benchmark"  # noqa: S105 - of receivers that live as long as one run
"""What Alertmanager shows to the receivers here; the peer does not look at it."""
_MARK = b"~~~~~~~~~~~~"
"""Stands in each fingerprint, and is replaced by the number of the webhook."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to post: `alerts` a webhook, all of one service, `new` ones or always the same."""

    port: int
    alerts: int
    new: bool
    seconds: float
    connections: int
    rate: float = 0.0
    first: int = 0
    services: int = SERVICES
    most: int = 0
    """End after so many webhooks; 0 for no limit."""


@dataclass(slots=True)
class Seen:
    """Answers with 200 and with another status, the time it took, and each answer's time in seconds.

    `refusal` is the first answer that was not 200, or how the connection broke. `cpu` is the processor time of whoever
    answered, in seconds; whoever has posted this may note it.
    """

    good: int = 0
    bad: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    cpu: float = 0.0
    refusal: str = ""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    def quantile(self, hundredths: int) -> float:
        """Such as the 99th."""
        return quantiles(self.times, n=100)[hundredths - 1] if len(self.times) > 1 else 0.0


def webhook(service: int, alerts: int) -> bytes:
    """One webhook as Alertmanager sends it, with a mark in each fingerprint and name."""
    common = {"service": f"service-{service:04}", "environment": "production", "severity": "high"}
    annotations = {
        "summary": "More than 1 % of the requests fail",
        "description": "4.2 % of the requests failed in the last five minutes; the threshold is 1 %.",
        "runbook_url": "https://runbooks.example/errors",
    }
    bodies = [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrorRate", "instance": f"{_MARK.decode()}-{number}:8080", **common},
            "annotations": annotations,
            "startsAt": "2026-05-01T12:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example:9090/graph?g0.expr=errors&g0.tab=1",
            "fingerprint": f"{_MARK.decode()}{number:04x}",
        }
        for number in range(alerts)
    ]
    whole = {
        "version": "4",
        "groupKey": f'{{}}:{{service="{common["service"]}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "deploywatch",
        "groupLabels": {"service": common["service"]},
        "commonLabels": {"alertname": "HighErrorRate", **common},
        "commonAnnotations": annotations,
        "externalURL": "http://alertmanager.example:9093",
        "alerts": bodies,
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def request(body: bytes) -> bytes:
    """The whole request with which Alertmanager brings a webhook."""
    return (
        b"POST /webhook/alertmanager HTTP/1.1\r\nHost: receiver\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (TOKEN.encode(), len(body), body)
    )


def requests(load: Load) -> Iterator[bytes]:
    """The requests, one after another."""
    whole = [request(webhook(service, load.alerts)) for service in range(load.services)]
    if load.new:
        yield from (body.replace(_MARK, b"%012x" % n) for n, body in zip(count(load.first), cycle(whole), strict=False))
    yield from cycle([body.replace(_MARK, b"%012x" % n) for n, body in enumerate(whole)])


async def _closed(load: Load, seen: Seen) -> None:
    coming, end, left = requests(load), time.perf_counter() + load.seconds, load.most or sys.maxsize

    async def client() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
        while left > 0 and time.perf_counter() < end:
            left -= 1
            begun = time.perf_counter()
            await _post(reader, writer, next(coming), seen, begun)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(load.connections)))


async def _open(load: Load, seen: Seen) -> None:
    coming, free = requests(load), asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    for _ in range(load.connections):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", load.port))
    begun = time.perf_counter()

    async def one(due: float) -> None:
        pair = await free.get()
        await _post(*pair, next(coming), seen, due)
        free.put_nowait(pair)

    async with asyncio.TaskGroup() as posting:
        for number in range(round(load.seconds * load.rate)):
            due = begun + number / load.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            posting.create_task(one(due))


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, seen: Seen, due: float
) -> None:
    try:
        status, text = await ask(reader, writer, data)
    except (OSError, asyncio.IncompleteReadError) as error:
        status, text = 0, repr(error)
    good = status == 200
    seen.good, seen.bad = seen.good + good, seen.bad + (not good)
    if not good and not seen.refusal:
        seen.refusal = f"{status}: {text.strip()}"
    seen.times.append(time.perf_counter() - due)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> tuple[int, str]:
    """The status and the text of the answer; IncompleteReadError where the connection ends before it."""
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, rest = head.partition(b"Content-Length: ")
    text = await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    return int(head[9:12]), text.decode(errors="replace")


async def run(load: Load) -> Seen:
    """Post it."""
    seen, begun = Seen(), time.perf_counter()
    await (_open if load.rate else _closed)(load, seen)
    seen.seconds = time.perf_counter() - begun
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.receiver.load", description=__doc__)
    parser.add_argument("load", type=json.loads, help="the fields of Load, as JSON")
    print(json.dumps(asdict(asyncio.run(run(Load(**parser.parse_args().load))))))
