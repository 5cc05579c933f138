"""The floor of a probe: what the system and OpenSSL alone need for a connection, a request and its answer.

A thread's processor time is counted, of blocking sockets and of TLS over memory, with nothing of ours around them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from statistics import median

_REQUEST = b"GET / HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n"
# Probes that are not counted: the first ones load code and fill caches.
_WARM = 20


def plain(host: str, port: int) -> None:
    """Connect, ask, read the answer to its end, and close."""
    with socket.create_connection((host, port)) as sock:
        sock.sendall(_REQUEST)
        while sock.recv(65536):
            pass


def secured(host: str, port: int, context: ssl.SSLContext) -> None:
    """The same over TLS, as the exporter speaks it: OpenSSL works in memory, and the socket is read and written."""
    with socket.create_connection((host, port)) as sock:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="bench.example")
        _until_done(tls.do_handshake, sock, incoming, outgoing)
        tls.write(_REQUEST)
        while _until_done(lambda: tls.read(65536), sock, incoming, outgoing):
            pass


def _until_done(
    step: Callable[[], bytes | None], sock: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
) -> bytes:
    """What a step of OpenSSL gives once it has what it waits for; nothing at the end."""
    while True:
        try:
            return step() or b""
        except ssl.SSLWantReadError:
            if outgoing.pending:
                sock.sendall(outgoing.read())
            if data := sock.recv(65536):
                incoming.write(data)
            else:
                incoming.write_eof()
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        finally:
            if outgoing.pending:
                sock.sendall(outgoing.read())


def seconds(probe: Callable[[], None], times: int) -> float:
    """Processor time of one of them, the median of `times`."""
    spent = []
    for _ in range(times + _WARM):
        # Of this thread alone: what else the process does is not part of the floor.
        begun = time.thread_time()
        probe()
        spent.append(time.thread_time() - begun)
    return median(spent[_WARM:])
