"""gRPC's health check, version 1: one unary call over HTTP/2, its message and its status.

The protocol is two messages of one field each, so that HTTP/2 is all that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from deploywatch import __version__
from deploywatch.exporter.net.channel import Channel
from deploywatch.exporter.net.http.http2 import Http2
from deploywatch.exporter.results import Failed, Reason

PATH = "/grpc.health.v1.Health/Check"
SERVING_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
UNKNOWN, UNAVAILABLE, DEADLINE_EXCEEDED = CODES.index("UNKNOWN"), CODES.index("UNAVAILABLE"), 4

# As the gRPC specification maps what is no gRPC answer.
_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Health:
    """What came back: the status of the call, what the server says of it, and of the service where it is OK."""

    code: int
    message: str = ""
    serving: str = ""


async def check(
    channel: Channel, *, authority: str, secure: bool, service: str, metadata: Mapping[str, Sequence[str]]
) -> Health:
    """Ask for the health of a service; an empty name asks for that of the whole server."""
    headers = [
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", PATH),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", f"deploywatch/{__version__}"),
        *((name.lower(), value) for name, values in metadata.items() for value in values),
    ]
    http2 = Http2(channel, _MOST)
    message = _request(service)
    try:
        await http2.send(headers, b"\0" + len(message).to_bytes(4, "big") + message)
        response = await http2.finish()
    finally:
        http2.close()
    if response.status != 200:
        return Health(_OF_HTTP.get(response.status, UNKNOWN), f"HTTP status {response.status}")
    # An answer without a body has its status in its only head.
    status = dict(http2.fields) | dict(http2.trailers)
    given = status.get("grpc-status", "")
    if not (given.isascii() and given.isdigit()):
        kind = response.headers.get("content-type", "")
        raise Failed(Reason.PROTOCOL, f"the answer is not gRPC: it has no grpc-status, and is {kind or 'of no type'}")
    text = unquote_to_bytes(status.get("grpc-message", "")).decode("utf-8", "replace")
    return Health(int(given), text, _serving(response.body) if int(given) == 0 else "")


def code_name(code: int) -> str:
    """The name of a status, or its number."""
    return CODES[code] if 0 <= code < len(CODES) else str(code)


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service's name."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _serving(body: bytes) -> str:
    """HealthCheckResponse: field 1 is the status; absent it is 0, UNKNOWN."""
    if len(body) < 5 or body[0] != 0:
        raise Failed(Reason.PROTOCOL, "the answer holds no message that was not compressed")
    message, at, status = body[5 : 5 + int.from_bytes(body[1:5], "big")], 0, 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        if tag & 7 == 0:
            value, at = _read_varint(message, at)
            status = value if tag >> 3 == 1 else status
        elif tag & 7 == 2:
            size, at = _read_varint(message, at)
            at += size
        else:
            raise Failed(Reason.PROTOCOL, "the answer is not a message of gRPC's health check")
    return SERVING_STATUSES[status] if status < len(SERVING_STATUSES) else str(status)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Failed(Reason.PROTOCOL, "the answer is not a message of gRPC's health check")
