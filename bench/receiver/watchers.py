"""Listens to `/live` on so many streams, as browsers do; in a process of its own, so that it delays nobody else.

`python -m bench.receiver.watchers '{"port": 9872, "streams": 50, "pages": false, "token": "…"}'` prints a line once all
listen, and goes on until it is told to stop; then it prints what it heard as JSON. With `pages` each stream loads the
first page anew after what it heard, no sooner after the last time than the console's script does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass

_LEAST_SECONDS, _MOST_SECONDS, _TIMES = 1.0, 30.0, 10.0
"""The script's rule: a page is loaded no sooner after the last time than this, or ten times as long as that took."""


@dataclass(slots=True)
class Heard:
    """Messages and pages that came, and the bytes of both."""

    messages: int = 0
    message_bytes: int = 0
    pages: int = 0
    page_bytes: int = 0


async def _opened(port: int, path: str, token: str, *more: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Authorization: Bearer {token}", "Accept: text/html")
    head = "\r\n".join((*lines, "Accept-Encoding: gzip", *more, "\r\n"))
    writer.write(head.encode())
    return reader, writer


async def _listen(port: int, token: str, heard: Heard, news: asyncio.Event, ready: asyncio.Event) -> None:
    reader, _writer = await _opened(port, "/live", token)
    await reader.readuntil(b"\r\n\r\n")
    while True:
        data = await reader.readuntil(b"\n\n")
        heard.messages += 1
        heard.message_bytes += len(data)
        if ready.is_set():
            news.set()  # the first says what the page shows already
        ready.set()


async def _renew(port: int, token: str, heard: Heard, news: asyncio.Event) -> None:
    while True:
        await news.wait()
        news.clear()
        begun = time.perf_counter()
        reader, writer = await _opened(port, "/", token, "Connection: close")
        page = await reader.read()
        assert page.startswith(b"HTTP/1.1 200 "), page[:200]
        heard.page_bytes, heard.pages = heard.page_bytes + len(page), heard.pages + 1
        writer.close()
        await asyncio.sleep(min(_MOST_SECONDS, max(_LEAST_SECONDS, _TIMES * (time.perf_counter() - begun))))


async def _run(port: int, token: str, streams: int, *, pages: bool) -> Heard:
    heard, over = Heard(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    tasks, readies = [], []
    async with asyncio.TaskGroup() as listening:  # a stream that ends early ends all
        for _ in range(streams):
            news, ready = asyncio.Event(), asyncio.Event()
            tasks.append(listening.create_task(_listen(port, token, heard, news, ready)))
            if pages:
                tasks.append(listening.create_task(_renew(port, token, heard, news)))
            readies.append(ready)
        for ready in readies:
            await ready.wait()
        print("ready", flush=True)
        await over.wait()
        for task in tasks:
            task.cancel()
    return heard


if __name__ == "__main__":
    _said = json.loads(sys.argv[1])
    print(json.dumps(asdict(asyncio.run(_run(**_said)))))
