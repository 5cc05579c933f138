"""A web server that counts how many connections each of its addresses has at once.

Run: python -m bench.exporter.counting PORT. It takes 20 ms for an answer, so that what comes at once is seen at once;
`/most` tells the most that any address has had.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

_TAKES = 0.02
_NOW: Counter[str] = Counter()
_MOST: Counter[str] = Counter()


class Counting(asyncio.Protocol):
    """Counts itself while it is connected, and answers each request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more at this address."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._here = transport.get_extra_info("sockname")[0]
        _NOW[self._here] += 1
        _MOST[self._here] = max(_MOST[self._here], _NOW[self._here])

    def connection_lost(self, _: Exception | None) -> None:
        """One less."""
        _NOW[self._here] -= 1

    def data_received(self, data: bytes) -> None:
        """Answer after a while; whoever asks for the count is told at once, and is not counted."""
        if data.startswith(b"GET /most "):
            # Not by way of 127.0.0.1, which is how the bench itself asks.
            others = [most for address, most in _MOST.items() if address != "127.0.0.1"]
            self._answer(str(max(others, default=0)).encode())
        else:
            asyncio.get_running_loop().call_later(_TAKES, self._answer, b"well")

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + body)
        self._transport.close()


async def serve(port: int) -> None:
    """Listen on every address until the process is ended."""
    await asyncio.get_running_loop().create_server(Counting, "0.0.0.0", port, backlog=4096)  # noqa: S104 - all of 127/8
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.exporter.counting", description=__doc__)
    parser.add_argument("port", type=int)
    asyncio.run(serve(parser.parse_args().port))
