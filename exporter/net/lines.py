"""Lines from a connection, one after the other, each and all of them limited in length."""

from __future__ import annotations

from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.results import Failed, Reason

# Servers that never end a line, or never stop, must not fill the memory.
LINE_LIMIT = 64 * 1024
TOTAL_LIMIT = 1024 * 1024
COUNT_LIMIT = 10_000


class Lines:
    """Reads a channel line by line."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._buffer = b""
        self._at = 0
        self._total = 0
        self._count = 0

    @property
    def left(self) -> bytes:
        """What was received beyond the last line that was read."""
        return self._buffer[self._at :]

    async def next(self) -> bytes | None:
        """The next line without its end; None when the server has ended the connection.

        The last line may lack its end. Failed(too_large) when a line, or all of them, are beyond the limits.
        """
        self._count += 1
        if self._count > COUNT_LIMIT:
            raise Failed(Reason.TOO_LARGE, f"the server says more than {COUNT_LIMIT} lines")
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if not await self._receive():
                rest, self._buffer, self._at = self.left, b"", 0
                return rest or None
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line.removesuffix(b"\r")

    def back(self, line: bytes) -> None:
        """Give back the line that was read last, so that it is the next again."""
        self._buffer, self._at = line + b"\n" + self.left, 0
        self._count -= 1

    async def exactly(self, size: int) -> bytes:
        """So many bytes; Failed(reset) when the connection ends before."""
        while len(self._buffer) - self._at < size:
            if not await self._receive():
                raise Failed(Reason.RESET, "the connection was closed in the middle of an answer")
        data = self._buffer[self._at : self._at + size]
        self._at += size
        return data

    async def _receive(self) -> bool:
        """Whether there was anything more to receive."""
        if len(self._buffer) - self._at > LINE_LIMIT:
            raise Failed(Reason.TOO_LARGE, "a line is longer than 64 KiB")
        piece = await self.channel.receive()
        self._total += len(piece)
        if self._total > TOTAL_LIMIT:
            raise Failed(Reason.TOO_LARGE, "the server says more than 1 MiB")
        self._buffer, self._at = self.left + piece, 0
        return bool(piece)
