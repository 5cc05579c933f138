"""A target for the exporter's benchmarks, in a process of its own: answers at once, or never.

Run: python -m bench.exporter.target --http PORT [--tls PORT --certificate FILE] [--hang PORT]
It listens on every address, so that all of 127.0.0.0/8 are targets.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from pathlib import Path

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
_BACKLOG = 4096


class Answering(asyncio.Protocol):
    """Answers each request and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer when the head is there."""
        self._received += data
        if b"\r\n\r\n" in self._received:
            self._transport.write(_ANSWER)
            self._transport.close()


class Hanging(asyncio.Protocol):
    """Takes everything and says nothing."""


async def serve(arguments: argparse.Namespace) -> None:
    """Listen until the process is ended."""
    loop = asyncio.get_running_loop()
    await loop.create_server(Answering, "0.0.0.0", arguments.http, backlog=_BACKLOG)  # noqa: S104 - all of 127/8
    if arguments.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
        await loop.create_server(Answering, "0.0.0.0", arguments.tls, ssl=context, backlog=_BACKLOG)  # noqa: S104
    if arguments.hang:
        await loop.create_server(Hanging, "0.0.0.0", arguments.hang, backlog=_BACKLOG)  # noqa: S104
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser()
    for name in ("--http", "--tls", "--hang"):
        parser.add_argument(name, type=int, default=0)
    parser.add_argument("--certificate", type=Path)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
