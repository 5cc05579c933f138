"""Steady traffic for the sample shop, spread over its endpoints; goes on when the shop is away.

    python load.py --url http://127.0.0.1:8080 --rate 60/s

Every ten seconds, and at the end, it prints a line of totals since it started:
`sent=600 ok=570 errors=30 unreachable=0 unsent=0 error_ratio=0.0500 slowest_ms=21`
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from dataclasses import dataclass, field

import aiohttp
import click

log = logging.getLogger("load")

# What people do, and how often.
REQUESTS = {
    ("GET", "/api/queues"): 30,
    ("GET", "/api/user-sessions"): 25,
    ("GET", "/api/tenants"): 20,
    ("GET", "/api/health"): 15,
    ("POST", "/api/queues"): 10,
}
TIMEOUT_SECONDS = 10.0


@dataclass(slots=True)
class Totals:
    """What happened since the start; `errors` are answers with 5xx, `unreachable` got no answer at all."""

    sent: int = 0
    ok: int = 0
    errors: int = 0
    unreachable: int = 0
    unsent: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        answered = self.ok + self.errors
        return (
            f"sent={self.sent} ok={self.ok} errors={self.errors} unreachable={self.unreachable} unsent={self.unsent} "
            f"error_ratio={self.errors / answered if answered else 0:.4f} slowest_ms={self.slowest * 1000:.0f}"
        )


@dataclass(slots=True)
class Load:
    """Sends requests at a steady rate, whatever becomes of them."""

    session: aiohttp.ClientSession
    url: str
    rate: float
    most: int
    totals: Totals = field(default_factory=Totals)
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop, then wait for what is in flight."""
        due = time.monotonic()
        while not stop.is_set():
            self.send()
            # After a pause of this process the missed requests are not sent all at once.
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            await _wait(stop, due - time.monotonic())
        if self.in_flight:
            await asyncio.wait(self.in_flight)

    def send(self) -> None:
        """Start one request; none when too many wait for their answers already."""
        if len(self.in_flight) >= self.most:
            self.totals.unsent += 1
            return
        method, path = random.choices(list(REQUESTS), weights=list(REQUESTS.values()))[0]
        if method == "POST":
            path = f"{path}?queue={random.randint(1, 4)}"
        task = asyncio.create_task(self.request(method, path))
        self.in_flight.add(task)
        task.add_done_callback(self.in_flight.discard)

    async def request(self, method: str, path: str) -> None:
        """Send one request and count how it went."""
        self.totals.sent += 1
        begun = time.perf_counter()
        try:
            async with self.session.request(method, self.url + path) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.totals.unreachable += 1
            log.debug("%s %s: %s: %s", method, path, type(error).__name__, error)
            return
        self.totals.slowest = max(self.totals.slowest, time.perf_counter() - begun)
        if answer.status >= 500:
            self.totals.errors += 1
        else:
            self.totals.ok += 1

    async def report(self, stop: asyncio.Event, every: float) -> None:
        """Print the totals, again and again."""
        while not stop.is_set():
            await _wait(stop, every)
            if not stop.is_set():
                print(self.totals, flush=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await stop.wait()
    except TimeoutError:
        return


def _rate(_: click.Context, __: click.Parameter, value: str) -> float:
    number = value.removesuffix("/s")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 10_000:
        raise click.BadParameter(f"{value!r} is not a rate; write requests a second, such as 60/s")
    return rate


@click.command()
@click.option("--url", required=True, help="Where the shop is, such as http://127.0.0.1:8080.")
@click.option("--rate", callback=_rate, default="60/s", show_default=True, help="Requests a second.")
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Requests that may wait for their answers at once; few spare a machine that is busy.",
)
@click.option("--every", default=10.0, show_default=True, help="Seconds between two lines of totals.")
@click.option("--verbose", is_flag=True, help="Log each request that got no answer.")
def main(url: str, rate: float, in_flight: int, every: float, verbose: bool) -> None:
    """Send steady traffic to the sample shop until SIGTERM or Ctrl-C."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.DEBUG if verbose else logging.INFO)

    async def run() -> Totals:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            load = Load(session, url.rstrip("/"), rate, in_flight)
            await asyncio.gather(load.run(stop), load.report(stop, every))
        return load.totals

    print(asyncio.run(run()), flush=True)


if __name__ == "__main__":
    main()
