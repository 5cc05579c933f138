"""A proxy on this machine: plain requests, CONNECT and SOCKS5; it knows names that nobody else does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from dataclasses import dataclass, field

INVENTED = "only-the-proxy-knows.example"
"""A name that resolves nowhere but here, to 127.0.0.1."""


@dataclass(slots=True)
class Proxy:
    """What was asked of it, line by line; with `user` and `password` it asks for them; `refuse` is what it says."""

    user: str = ""
    password: str = ""
    refuse: bytes = b""
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            first = await reader.readexactly(1)
            if first == b"\x05":
                await self._socks(reader, writer)
            else:
                await self._http(first + await reader.readuntil(b"\r\n\r\n"), reader, writer)

    async def _http(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = head.decode()
        self.heads.append(text)
        line, _, rest = text.partition("\r\n")
        self.asked.append(line)
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.refuse or (self.user and f"Proxy-Authorization: Basic {wanted}" not in rest):
            writer.write(self.refuse or b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        method, target, _ = line.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            await self._pass_on(host.strip("[]"), int(port), b"", reader, writer, b"HTTP/1.1 200 Connected\r\n\r\n")
            return
        place, slash, path = target.removeprefix("http://").partition("/")
        host, _, port = place.partition(":")
        sent = f"{method} {slash}{path} HTTP/1.1\r\n{rest}".encode()
        await self._pass_on(host, int(port or 80), sent, reader, writer, b"")

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wants = 2 if self.user else 0
        writer.write(bytes([5, wants if wants in methods else 255]))
        if wants:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            good = (user.decode(), password.decode()) == (self.user, self.password)
            writer.write(bytes([1, not good]))
            if not good:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"SOCKS {host}:{port}")
        if self.refuse:
            writer.write(b"\x05\x02\x00\x01" + bytes(6))
            return
        await self._pass_on(host, port, b"", reader, writer, b"\x05\x00\x00\x01" + bytes(6))

    async def _pass_on(
        self,
        host: str,
        port: int,
        sent: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hello: bytes,
    ) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1" if host == INVENTED else host, port), 5) as there:
            there.setblocking(False)
            await loop.sock_sendall(there, sent)
            writer.write(hello)
            ways = [asyncio.create_task(_to(there, reader)), asyncio.create_task(_from(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


async def _to(there: socket.socket, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(65536):
        await asyncio.get_running_loop().sock_sendall(there, data)


async def _from(there: socket.socket, writer: asyncio.StreamWriter) -> None:
    while data := await asyncio.get_running_loop().sock_recv(there, 65536):
        writer.write(data)
        await writer.drain()
