"""Sockets that are files of this machine."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from deploywatch.exporter.net.channel import Channel


async def open_unix(path: Path) -> Channel:
    """A connection to the socket at a path; OSError when nobody listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
    except BaseException:
        sock.close()
        raise
    return Channel(sock)
