"""A way to a Kafka broker that lets in only who logs in: SaslHandshake and SaslAuthenticate as the protocol's guide has
them, PLAIN by RFC 4616 and SCRAM by RFC 5802; whatever else a client says before that ends the connection.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import ssl
import struct
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from typing import Final

from tests.support.kafka import copy, frame, renamed, write

_API_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 18, 17, 36
_REFUSED, _UNSUPPORTED = 58, 33
_ROUNDS: Final = 4096

Exchange = Generator[bytes, bytes, bytes]
"""Takes what the client says and gives the answers; returns the last one, or raises PermissionError."""


@dataclass(slots=True)
class Login:
    """The listener at `port` before the broker at `server`, and who was let in by which mechanism."""

    port: int
    server: str
    users: dict[str, str]
    mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    let_in: list[tuple[str, str]] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: the login, then everything."""
        host, _, port = self.server.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if await self._logs_in(reader, writer, there, back):
                await asyncio.gather(copy(reader, back), renamed(there, writer, self.server, self.port))
        writer.close()
        back.close()

    async def _logs_in(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> bool:
        mechanism, exchange = "", None
        while True:
            request = await frame(reader)
            key, _, correlation = struct.unpack_from(">hhi", request)
            rest = request[10 + max(0, struct.unpack_from(">h", request, 8)[0]) :]
            if key == _API_VERSIONS:
                write(back, request)
                write(writer, _with_logins(await frame(there)))
            elif key == _HANDSHAKE:
                mechanism = rest[2:].decode()
                known = mechanism in self.mechanisms
                names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in self.mechanisms)
                answer = struct.pack(">ihi", correlation, 0 if known else _UNSUPPORTED, len(self.mechanisms)) + names
                write(writer, answer)
                exchange = self._plain() if mechanism == "PLAIN" else self._scram(mechanism)
                next(exchange)
            elif key == _AUTHENTICATE and exchange is not None:
                try:
                    said = exchange.send(rest[4:])
                except StopIteration as ended:
                    write(writer, struct.pack(">ihhi", correlation, 0, -1, len(ended.value)) + ended.value)
                    return True
                except PermissionError:
                    write(writer, struct.pack(">ihhi", correlation, _REFUSED, -1, 0))
                    return False
                write(writer, struct.pack(">ihhi", correlation, 0, -1, len(said)) + said)
            else:
                return False

    def _plain(self) -> Exchange:
        _, user, password = (yield b"").decode().split("\0")
        if self.users.get(user) != password:
            raise PermissionError(user)
        self.let_in.append(("PLAIN", user))
        return b""

    def _scram(self, mechanism: str) -> Exchange:
        name = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        bare = (yield b"").removeprefix(b"n,,")
        said = dict(part.split("=", 1) for part in bare.decode().split(","))
        user, salt = said["n"].replace("=2C", ",").replace("=3D", "="), os.urandom(16)
        nonce = said["r"] + os.urandom(9).hex()
        first = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ROUNDS}".encode()
        last = yield first
        without, _, proof = last.rpartition(b",p=")
        transcript = b",".join((bare, first, without))
        salted = hashlib.pbkdf2_hmac(name, self.users.get(user, "").encode(), salt, _ROUNDS)
        client_key = hmac.digest(salted, b"Client Key", name)
        signature = hmac.digest(hashlib.new(name, client_key).digest(), transcript, name)
        theirs = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if user not in self.users or theirs != client_key or without != f"c=biws,r={nonce}".encode():
            raise PermissionError(user)
        self.let_in.append((mechanism, user))
        return b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", name), transcript, name))


def _with_logins(answer: bytes) -> bytes:
    """The broker's list of calls, and the two that are ours."""
    correlation, error, count = struct.unpack_from(">ihi", answer)
    ours = struct.pack(">hhh", _HANDSHAKE, 1, 1) + struct.pack(">hhh", _AUTHENTICATE, 0, 0)
    return struct.pack(">ihi", correlation, error, count + 2) + ours + answer[10:]


@contextlib.asynccontextmanager
async def login(
    server: str, port: int, users: dict[str, str], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Login]:
    """A way to the broker at `server` by 127.0.0.1:`port`, for `users` with their passwords."""
    made = Login(port, server, users)
    listener = await asyncio.start_server(made.connected, "127.0.0.1", port, ssl=tls)
    try:
        yield made
    finally:
        listener.close()
