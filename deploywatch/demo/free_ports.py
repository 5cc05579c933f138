"""Ports for servers that are about to start, which nobody else is given in between."""

from __future__ import annotations

import functools
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_BLOCK = 500


@functools.cache
def _block(process: int) -> Iterator[int]:  # noqa: ARG001 - a forked child would give out what its parent gives out
    """The ports of a process, again and again."""
    for first in range(_LOWEST, _ephemeral() - _BLOCK + 1, _BLOCK):
        mark = socket.socket(socket.AF_UNIX)
        try:
            # A name that only one process of the machine can hold.
            mark.bind(f"\0deploywatch-ports-{first}")
        except OSError:
            mark.close()
            continue
        # It is held until the process ends: a port may be asked for at any time.
        mark.detach()
        return itertools.cycle(range(first, first + _BLOCK))
    return iter(())


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on and that no other process is given.

    It lies below the ports that the kernel lends to outgoing connections: such a one might be lent to somebody
    between this answer and the server's own bind. Where no port is left below them, the kernel chooses.
    """
    for port in itertools.islice(_block(os.getpid()), _BLOCK):
        if _unused(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unused(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _ephemeral() -> int:
    """The lowest port that the kernel lends to connections."""
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
