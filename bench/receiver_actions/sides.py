"""Both sides of a receiver in one process with one clock: Alertmanager that posts, and everybody who is told.

`python -m bench.receiver_actions.sides '{"port": 9872, ...}'` (the fields of Sides) prints what it saw as JSON. Each
webhook opens an incident of a new service; whoever is told of it is recognized by that service's number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from bench.receiver.load import ask, request, webhook
from deploywatch.fakes.inbox import Inbox, serving

TEAMS = 100
"""Each has a Slack channel, which takes one message a second; PagerDuty, mail and webhook are everybody's."""
_SERVICE = re.compile(r"service-(\d{6})")
_GRACE = 30.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Sides:
    """What to do: post `rate` webhooks a second to `port` for `seconds`, and be told on the other ports."""

    port: int
    http: int
    smtp: int
    fifth: int
    rate: float
    seconds: float
    hangs: bool


@dataclass(slots=True)
class Told:
    """Seconds until each incident's first message had arrived, by channel.

    `after_commit` counts from the 200 with which the receiver answers what it has committed, `in_all` from the moment
    at which the webhook was due. `missing` counts incidents of which a channel never heard, `fifth` the messages that
    began on the fifth channel. `cpu` and `sides` are processor seconds, of the receiver and of both sides.
    """

    after_commit: dict[str, list[float]] = field(default_factory=dict)
    in_all: dict[str, list[float]] = field(default_factory=dict)
    missing: int = 0
    fifth: int = 0
    bad: int = 0
    cpu: float = 0.0
    sides: float = 0.0


class _Alertmanager:
    """Posts a new incident at each tick, and notes when it was due and when its 200 came."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self.due: dict[int, float] = {}
        self.committed: dict[int, float] = {}
        self.bad = 0
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def run(self) -> None:
        """Post them all, and return once each is answered."""
        sides = self._sides
        for _ in range(32):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", sides.port))
        template, begun = webhook(0, 1).replace(b"service-0000", b"service-%06d"), time.time()
        async with asyncio.TaskGroup() as posting:
            for number in range(round(sides.rate * sides.seconds)):
                self.due[number] = begun + number / sides.rate
                await asyncio.sleep(max(0.0, self.due[number] - time.time()))
                posting.create_task(self._post(number, _request(template, number)))
        while not self._free.empty():
            _, writer = self._free.get_nowait()
            writer.close()
            await writer.wait_closed()

    async def _post(self, number: int, request: bytes) -> None:
        reader, writer = await self._free.get()
        status, _ = await ask(reader, writer, request)
        self.committed[number] = time.time()
        self.bad += status != 200
        self._free.put_nowait((reader, writer))


def _request(template: bytes, number: int) -> bytes:
    body = template.replace(b"service-%06d", b"service-%06d" % number).replace(b"~" * 12, b"%012x" % number)
    annotations = f'"annotations":{{"channels":"{",".join(channels(number))}",'.encode()
    return request(body.replace(b'"annotations":{', annotations))


def channels(number: int) -> tuple[str, ...]:
    """Who is told of the incident with this number."""
    return f"slack-{number % TEAMS}", "pagerduty", "mail", "webhook", "fifth"


async def run(sides: Sides) -> Told:
    """Post, be told, and tell when."""
    inbox, heard = Inbox(), Told()

    async def fifth(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers every request, or none."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                heard.fifth += 1
                if not sides.hangs:
                    writer.write(_ANSWER)
        writer.close()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(inbox, http=("127.0.0.1", sides.http), smtp=("127.0.0.1", sides.smtp)))
        server = await asyncio.start_server(fifth, "127.0.0.1", sides.fifth)
        stack.callback(server.close)
        alertmanager = _Alertmanager(sides)
        await alertmanager.run()
        expected, deadline = 4 * len(alertmanager.due), time.time() + _GRACE
        while len(arrivals(inbox)) < expected and time.time() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)
        for (channel, number), at in arrivals(inbox).items():
            heard.after_commit.setdefault(channel, []).append(at - alertmanager.committed[number])
            heard.in_all.setdefault(channel, []).append(at - alertmanager.due[number])
        heard.sides = time.process_time()
        heard.missing, heard.bad = expected - len(arrivals(inbox)), alertmanager.bad
    return heard


def arrivals(inbox: Inbox) -> dict[tuple[str, int], float]:
    """When each channel first heard of each incident, in seconds since 1970."""
    first: dict[tuple[str, int], float] = {}
    for message in inbox.received:
        service = _SERVICE.search(message.title) or _SERVICE.search(message.text)
        if service:
            first.setdefault(
                (message.channel, int(service[1])), datetime.fromisoformat(message.at).astimezone(UTC).timestamp()
            )
    return first


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.receiver_actions.sides", description=__doc__)
    parser.add_argument("sides", type=json.loads, help="the fields of Sides, as JSON")
    print(json.dumps(asdict(asyncio.run(run(Sides(**parser.parse_args().sides))))))
