"""Read an HTTP/1.x answer: fed to llhttp piece by piece, its head and its body up to a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httptools

from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.results import Failed, Reason

HEAD_LIMIT = 64 * 1024
_BODILESS = frozenset({204, 304})


@dataclass(slots=True)
class Response:
    """What came back; `body` is at most the limit long, and `complete` says whether that is all of it.

    A header that is there several times has its values joined by commas, cookies by line ends; bytes that
    are no UTF-8 are surrogates, so that they can be sent again as they came. Of a body that is not
    encoded as was asked for, `undecoded` says why, and `body` is empty.
    """

    status: int
    version: str
    headers: dict[str, str]
    address: Address | None = None
    body: bytes = b""
    complete: bool = True
    bytes_read: int = 0
    undecoded: Failed | None = None

    @property
    def content_length(self) -> int:
        """The Content-Length header; -1 without one."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() else -1


async def read_response(first: bytes, receive: Callable[[], Awaitable[bytes]], method: str, limit: int) -> Response:
    """Read the answer to a request of `method`, at most `limit` bytes of its body; `first` was received already.

    Failed when it is not HTTP, is malformed, or is broken off.
    """
    reading = _Reading(method, limit)
    piece = first
    while piece:
        reading.feed(piece)
        if reading.done:
            break
        piece = await receive()
    else:
        reading.end()
    return reading.response()


class _Reading:
    """llhttp's callbacks, and what they told so far."""

    __slots__ = (
        "_head_only",
        "_headers",
        "_parser",
        "_pieces",
        "_received",
        "_room",
        "_seen",
        "done",
        "framed",
        "status",
    )

    def __init__(self, method: str, limit: int) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # A length beside chunks is ignored, as RFC 9112 and every browser do.
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)
        self._head_only = method == "HEAD"
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._room = limit
        self._received = 0
        self._seen = 0
        self.status = 0
        self.framed = False
        self.done = False

    def feed(self, piece: bytes) -> None:
        """Take what was received; Failed when it cannot be HTTP."""
        self._received += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.done = True
        except httptools.HttpParserError as error:
            # Something may follow an answer that is complete; it is nobody's.
            if not self.done:
                raise Failed(Reason.PROTOCOL, f"the answer is not good HTTP: {error}") from error
        if not self.status and self._received > HEAD_LIMIT:
            raise Failed(Reason.PROTOCOL, "the answer has no end of its headers within 64 KiB")

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
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            key, text = name.decode("latin-1").lower(), value.strip().decode("utf-8", "surrogateescape")
            before = self._headers.get(key)
            # Cookies have commas in them.
            between = "\n" if key == "set-cookie" else ", "
            self._headers[key] = text if before is None else before + between + text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._headers = {}
            return
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
