"""Servers of several protocols in a process of their own, so that what they leave to a garbage collector is theirs.

Run: python -m tests.exporter.answering FOLDER; the ports are printed as JSON. The folder gets `ca.pem` and `http.sock`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path

import trustme

from bench.exporter.target import Answering, Hanging
from tests.exporter.dns_server import dns_server
from tests.exporter.grpc_server import grpc_server


async def serve(folder: Path) -> None:
    """Serve until the process is ended."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    loop = asyncio.get_running_loop()
    http = await loop.create_server(Answering, "127.0.0.1", 0)
    tls = await loop.create_server(Answering, "127.0.0.1", 0, ssl=context)
    hanging = await loop.create_server(Hanging, "127.0.0.1", 0)
    await loop.create_unix_server(Answering, str(folder / "http.sock"))
    async with dns_server() as dns, grpc_server() as grpc:
        ports = {
            "http": http.sockets[0].getsockname()[1],
            "tls": tls.sockets[0].getsockname()[1],
            "hanging": hanging.sockets[0].getsockname()[1],
            "dns": dns.port,
            "grpc": grpc.port,
        }
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
