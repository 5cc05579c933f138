"""Read an HTTP/1.x answer: fed to llhttp piece by piece, its head and its body up to a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httptools

from deploywatch.exporter.net.http.head import begins_well, end_of_head, tidied
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.results import Failed, Reason

HEAD_LIMIT = 1024 * 1024
"""Bytes of a head that are read; servers with many cookies or policies send some hundreds of KiB."""

_BODILESS = frozenset({204, 304})


async def read_response(
    first: bytes,
    receive: Callable[[], Awaitable[bytes]],
    method: str,
    limit: int,
    broken: Callable[[Response], None] = lambda _: None,
) -> Response:
    """Read the answer to a request of `method`, at most `limit` bytes of its body; `first` was received already.

    Failed when it is not HTTP, malformed or broken off; whatever ends it after the head, `broken` is told what came.
    """
    reading = _Reading(method, limit)
    try:
        await _read(reading, first, receive, broken)
        response = reading.response()
    finally:
        reading.close()
    if response.status < 100:
        raise Failed(Reason.PROTOCOL, f"the answer is not good HTTP: {response.status:03} is no status")
    return response


async def _read(
    reading: _Reading, piece: bytes, receive: Callable[[], Awaitable[bytes]], broken: Callable[[Response], None]
) -> None:
    try:
        while piece:
            reading.feed(piece)
            if reading.done:
                break
            piece = await receive()
        else:
            reading.end()
    except BaseException:
        if reading.status:
            broken(reading.response())
        raise


class _Reading:
    """llhttp's callbacks, and what they told so far."""

    __slots__ = (
        "_complaint",
        "_fields",
        "_head_only",
        "_headers",
        "_parser",
        "_pieces",
        "_raw",
        "_received",
        "_room",
        "_seen",
        "_tidying",
        "_without_status",
        "done",
        "framed",
        "status",
    )

    def __init__(self, method: str, limit: int) -> None:
        self._parser = self._new_parser()
        self._head_only = method == "HEAD"
        self._headers: dict[str, str] = {}
        self._fields: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self._room = limit
        self._raw = bytearray()
        self._complaint = ""
        self._received = 0
        self._seen = 0
        self._tidying = False
        self._without_status = False
        self.status = 0
        self.framed = False
        self.done = False

    def _new_parser(self) -> Any:
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            # A length beside chunks is ignored, as RFC 9112 and every browser do.
            lenient_chunked_length=True,
            lenient_headers=True,
            lenient_version=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    def close(self) -> None:
        """Let go of the parser, which holds on to our methods: nobody but the garbage collector could free the two."""
        self._parser = None

    def feed(self, piece: bytes) -> None:
        """Take what was received; Failed when it cannot be HTTP."""
        self._received += len(piece)
        if not self.status:
            self._raw += piece
        if self._tidying:
            self._feed_tidied()
        else:
            self._feed(piece)
        if self._without_status:
            raise Failed(Reason.PROTOCOL, "the answer is not good HTTP: its status is below 100")
        if not self.status and self._received > HEAD_LIMIT:
            raise Failed(Reason.PROTOCOL, "the answer has no end of its headers within 1 MiB")

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.done = True
        except httptools.HttpParserError as error:
            if not self.status and not self._tidying and begins_well(self._raw):
                self._tidying, self._complaint = True, str(error)
                self._feed_tidied()
            # Something may follow an answer that is complete; it is nobody's.
            elif not self.done:
                raise Failed(Reason.PROTOCOL, f"the answer is not good HTTP: {self._complaint or error}") from error

    def _feed_tidied(self) -> None:
        """Give a new parser the head once it is there as a whole, in the form that it takes."""
        while not self.status and not self.done and (size := end_of_head(self._raw)) is not None:
            head, self._raw = bytes(self._raw[:size]), self._raw[size:]
            self._headers, self._fields = {}, []
            self._parser = self._new_parser()
            self._feed(tidied(head))
        if self.status and not self.done:
            rest, self._raw = bytes(self._raw), bytearray()
            self._tidying = False
            self._feed(rest)

    def end(self) -> None:
        """The connection was closed; Failed when the answer should have gone on."""
        if not self.status:
            raise Failed(Reason.RESET, "the connection was closed before the answer was there")
        if self.framed:
            raise Failed(Reason.RESET, f"the connection was closed in the middle of the body, after {self._seen} bytes")

    def response(self) -> Response:
        """What was read."""
        return Response(
            self.status,
            self._parser.get_http_version(),
            self._headers,
            body=b"".join(self._pieces),
            complete=self._room >= 0,
            bytes_read=self._seen,
            fields=self._fields,
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            key, text = name.decode("latin-1").lower(), value.strip().decode("utf-8", "surrogateescape")
            self._fields.append((key, text))
            before = self._headers.get(key)
            # Cookies have commas in them.
            between = "\n" if key == "set-cookie" else ", "
            self._headers[key] = text if before is None else before + between + text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._headers, self._fields = {}, []
            return
        self._without_status = status < 100
        self.status = status
        self.done = self._head_only or status in _BODILESS or status == 101
        coding = self._headers.get("transfer-encoding", "").lower().rpartition(",")[2].strip()
        self.framed = coding == "chunked" or (not coding and "content-length" in self._headers)

    def on_body(self, piece: bytes) -> None:
        if self.done:
            return
        self._seen += len(piece)
        if self._room > 0:
            self._pieces.append(piece[: self._room])
        self._room -= len(piece)
        self.done = self._room < 0

    def on_message_complete(self) -> None:
        self.done = self.done or bool(self.status)
