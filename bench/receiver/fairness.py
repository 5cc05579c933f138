"""Fairness: how long one webhook of very many alerts delays others."""

from __future__ import annotations

import asyncio
import json
import time

from rich.console import Console

from bench.receiver.load import SERVICES, ask, request, webhook
from bench.receiver.servers import Place, Plan, peak_megabytes
from deploywatch.demo.servers import Running

LARGE = 100_000
EVERY = 0.02
"""Seconds between two of the small webhooks."""
GOAL = 1.0


def fairness(console: Console, place: Place, inbox: Running, plan: Plan) -> None:
    """(f) Small webhooks beside one of a hundred thousand alerts, each timed from when it was due."""
    for store in plan.stores:
        name = f"fairness-{store.lower()}"
        database = place.database(name) if store == "SQLite" else place.postgres(name)
        server = place.receiver(name, database, inbox)
        body = large(LARGE)
        taken, times = asyncio.run(beside(server.port, body))
        slow = sum(seconds > GOAL for seconds in times)
        console.print(
            f"{store}: {LARGE:,} alerts in {len(body) / 1e6:.0f} MB were answered after {taken:.1f} s; meanwhile "
            f"{len(times)} webhooks of one alert, the longest after {max(times):.2f} s, {slow} after more than "
            f"{GOAL:g} s (goal: none), {peak_megabytes(server):.0f} MB at most"
        )
        server.child.stop()


def large(alerts: int) -> bytes:
    """One webhook of so many alerts with short texts, which a group of all services' instances would give."""
    whole = json.loads(webhook(0, 1))
    [alert] = whole["alerts"]
    alert["annotations"] = {"summary": "More than 1 % of the requests fail"}
    whole["groupKey"], whole["groupLabels"], whole["commonLabels"] = "{}", {}, {}
    whole["alerts"] = [
        {
            **alert,
            "labels": {
                "alertname": "InstanceDown",
                "service": f"large-{number % SERVICES:03}",
                "severity": "high",
                "instance": f"{number}",
            },
            "generatorURL": "",
            "fingerprint": f"1a{number:014x}",
        }
        for number in range(alerts)
    ]
    return json.dumps(whole, separators=(",", ":")).encode()


async def beside(port: int, body: bytes) -> tuple[float, list[float]]:
    """Seconds until the large one is answered, and the seconds of each small one meanwhile; all with 200."""
    begun = time.perf_counter()
    whole = asyncio.create_task(_post(port, body, begun))
    small: list[asyncio.Task[float]] = []
    template = webhook(0, 1)
    while not whole.done():
        number = len(small)
        payload = template.replace(b"~" * 12, b"%012x" % number)
        payload = payload.replace(b"service-0000", b"small-%04d" % (number % SERVICES))
        due = begun + number * EVERY
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        small.append(asyncio.create_task(_post(port, payload, due)))
    return await whole, list(await asyncio.gather(*small))


async def _post(port: int, body: bytes, due: float) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        status, text = await ask(reader, writer, request(body))
    finally:
        writer.close()
        await writer.wait_closed()
    assert status == 200, f"{status}: {text}"
    return time.perf_counter() - due
