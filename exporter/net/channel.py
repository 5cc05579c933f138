"""A connected socket to send to and receive from, in plain, and over TLS once it was secured."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

PIECE = 64 * 1024
"""At most so many bytes are received at once."""


# Our own instead of asyncio's streams: it gives the time of each phase, shows a certificate that was refused, and waits
# for no TLS goodbye.
class Channel:
    """One connection; OSError when it breaks. Who closes it says no goodbye to a server that may never answer one."""

    __slots__ = ("_incoming", "_loop", "_outgoing", "sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tls: ssl.SSLObject | None = None
        self._loop = asyncio.get_running_loop()

    # The server may be told why a handshake failed; whether it still listens is its affair.
    async def secure(self, context: ssl.SSLContext, name: str, *, asks: bool = False) -> ssl.SSLObject:
        """Begin TLS with the server `name`; after an ssl.SSLError, `tls` still shows what the server presented.

        Who `asks` something next sends the end of the handshake along with it.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()
                raise
            else:
                if not asks:
                    await self._flush()
                return tls

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        if self.tls is None:
            await self._write(data)
            return
        self.tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """What comes next, at most `PIECE` bytes; nothing when the server has ended the connection."""
        if self.tls is None:
            return await self._read()
        while True:
            try:
                return self.tls.read(PIECE)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            # Many servers hang up without close_notify; whether the answer was whole is for HTTP's length to say.
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def close(self) -> None:
        """Close the connection at once."""
        self.sock.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._write(self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._read()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _write(self, data: bytes) -> None:
        try:
            # Mostly there is room, and nothing to wait for.
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            await self._loop.sock_sendall(self.sock, memoryview(data)[sent:])

    async def _read(self) -> bytes:
        return await self._loop.sock_recv(self.sock, PIECE)


class Tunnel(Channel):
    """A connection that goes through another one, as to a server behind a proxy that is itself reached over TLS."""

    __slots__ = ("_under",)

    def __init__(self, under: Channel) -> None:
        super().__init__(under.sock)
        self._under = under

    async def _write(self, data: bytes) -> None:
        await self._under.send(data)

    async def _read(self) -> bytes:
        return await self._under.receive()
