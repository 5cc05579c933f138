"""Compressed bodies: decoded up to a limit, so that a small answer cannot fill the memory."""

from __future__ import annotations

import zlib
from typing import Literal

from exporter.results import Failed, Reason

Coding = Literal["gzip", "deflate", "identity"]
_GZIP, _ZLIB, _RAW = 31, 15, -15


def decode(body: bytes, coding: Coding, limit: int, *, complete: bool) -> tuple[bytes, bool]:
    """At most `limit` bytes of what the body says, and whether that is all; Failed(protocol) when it is not so encoded.

    With `complete` false, the body itself is only a beginning.
    """
    if coding == "identity" or (complete and not body):
        return body, complete
    widths = (_GZIP,) if coding == "gzip" else (_ZLIB, _RAW)
    for width in widths:
        try:
            return _inflate(body, width, limit, complete=complete)
        except zlib.error as error:
            if width == widths[-1]:
                raise Failed(Reason.PROTOCOL, f"the body is not encoded as {coding}") from error
    raise AssertionError(coding)


def _inflate(body: bytes, width: int, limit: int, *, complete: bool) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    room, left = limit, body
    while left:
        # A gzip file may have several members.
        member = zlib.decompressobj(width)
        piece = member.decompress(left, room + 1)
        pieces.append(piece[:room])
        if len(piece) > room:
            return b"".join(pieces), False
        room -= len(piece)
        left = member.unused_data
        if not member.eof:
            if complete:
                raise Failed(Reason.PROTOCOL, "the compressed body ends in the middle")
            return b"".join(pieces), False
    return b"".join(pieces), complete
