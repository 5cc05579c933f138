"""Read an HTTP/1.1 answer from a stream: its head, and its body up to a limit."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from exporter.net.resolve import Address
from exporter.results import Failed, Reason

HEAD_LIMIT = 64 * 1024
_PIECE = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3})(?: [^\r\n]*)?")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(slots=True)
class Response:
    """What came back; `body` is at most the limit long, and `complete` says whether that is all of it."""

    status: int
    version: str
    headers: dict[str, str]
    address: Address | None = None
    certificate_expiry: float | None = None
    tls_version: str | None = None
    body: bytes = b""
    complete: bool = True
    bytes_read: int = 0

    @property
    def content_length(self) -> int:
        """The Content-Length header; -1 without one."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() else -1


async def read_head(first: bytes, reader: asyncio.StreamReader) -> Response:
    """Read up to the end of the headers; `first` is what was read already. Failed when it is not HTTP."""
    while True:
        try:
            head = first + await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            received = first + error.partial
            if received and not received.startswith(b"HTTP/"[: len(received)]):
                raise Failed(Reason.PROTOCOL, "the answer is not HTTP") from error
            raise Failed(Reason.RESET, "the connection was closed before the answer was there") from error
        except asyncio.LimitOverrunError as error:
            raise Failed(Reason.PROTOCOL, "the answer has no end of its headers within 64 KiB") from error
        response = _parse(head)
        if response.status >= 200 or response.status == 101:
            return response
        first = b""


def _parse(head: bytes) -> Response:
    status_line, *lines = head[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise Failed(Reason.PROTOCOL, "the answer is not HTTP/1.x")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise Failed(Reason.PROTOCOL, "the answer has a malformed header")
        key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
        if key == "content-length" and headers.get(key, text) != text:
            raise Failed(Reason.PROTOCOL, "the answer has two different lengths")
        headers[key] = text
    return Response(int(match[2]), match[1].decode(), headers)


async def read_body(response: Response, method: str, reader: asyncio.StreamReader, limit: int) -> None:
    """Read the body into `response`, at most `limit` bytes; Failed when it is broken off or malformed."""
    if method == "HEAD" or response.status in {204, 304}:
        return
    pieces: list[bytes] = []
    room = limit
    async with contextlib.aclosing(_pieces(response, reader)) as source:
        async for piece in source:
            response.bytes_read += len(piece)
            pieces.append(piece[:room])
            room -= len(piece)
            if room < 0:
                response.complete = False
                break
    response.body = b"".join(pieces)


async def _pieces(response: Response, reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    if response.headers.get("transfer-encoding", "").lower().rpartition(",")[2].strip() == "chunked":
        while size := await _chunk_size(reader):
            async for piece in _exactly(size, reader):
                yield piece
            await _chunk_end(reader)
    elif "content-length" in response.headers:
        if response.content_length < 0:
            raise Failed(Reason.PROTOCOL, "the answer has a malformed Content-Length")
        async for piece in _exactly(response.content_length, reader):
            yield piece
    else:
        while piece := await reader.read(_PIECE):
            yield piece


async def _exactly(size: int, reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    left = size
    while left:
        piece = await reader.read(min(_PIECE, left))
        if not piece:
            raise Failed(Reason.RESET, f"the connection was closed {left} bytes before the end of the body")
        left -= len(piece)
        yield piece


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as error:
        raise Failed(Reason.RESET, "the connection was closed in the middle of the body") from error
    except asyncio.LimitOverrunError as error:
        raise Failed(Reason.PROTOCOL, "the answer has a malformed chunk") from error
    match = _CHUNK_SIZE.fullmatch(line)
    if match is None:
        raise Failed(Reason.PROTOCOL, "the answer has a malformed chunk")
    return int(match[1], 16)


async def _chunk_end(reader: asyncio.StreamReader) -> None:
    try:
        end = await reader.readexactly(2)
    except asyncio.IncompleteReadError as error:
        raise Failed(Reason.RESET, "the connection was closed in the middle of the body") from error
    if end != b"\r\n":
        raise Failed(Reason.PROTOCOL, "the answer has a malformed chunk")
