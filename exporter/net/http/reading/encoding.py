"""Compressed bodies: decoded up to a limit, so that a small answer cannot fill the memory."""

from __future__ import annotations

import zlib
from typing import Literal

import brotli

from deploywatch.exporter.results import Failed, Reason

Coding = Literal["gzip", "br", "deflate", "identity"]
_GZIP, _ZLIB, _RAW = 31, 15, -15


def decode(body: bytes, coding: Coding, limit: int, *, complete: bool) -> tuple[bytes, bool]:
    """At most `limit` bytes of what the body says, and whether that is all; Failed(body) when it is not so encoded.

    With `complete` false, the body itself is only a beginning.
    """
    if coding == "identity" or (complete and not body):
        return body, complete
    try:
        if coding == "br":
            return _unbrotli(body, limit, complete=complete)
        if coding == "gzip":
            return _inflate(body, _GZIP, limit, complete=complete)
        try:
            return _inflate(body, _ZLIB, limit, complete=complete)
        # Servers that take "deflate" by its name send it without zlib's head, against RFC 9110.
        except zlib.error:
            return _inflate(body, _RAW, limit, complete=complete)
    except (zlib.error, brotli.error) as error:
        raise Failed(Reason.BODY, f"the body is not encoded as {coding}") from error


def accepts(header: str, coding: str) -> bool:
    """Whether an Accept-Encoding header lets a server answer so."""
    weights: dict[str, str] = {}
    for part in header.lower().split(","):
        name, _, weight = part.replace(" ", "").partition(";")
        weights[name] = weight
    # What is not named is not wanted, unless a star takes all that is not named.
    weight = weights.get(coding, weights.get("*", "q=0"))
    return weight.removeprefix("q=").strip("0.") != "" or not weight


def _unbrotli(body: bytes, limit: int, *, complete: bool) -> tuple[bytes, bool]:
    decoder = brotli.Decompressor()
    # Bounded while it is unpacked: a small body may become gigabytes.
    decoded: bytes = decoder.process(body, output_buffer_limit=limit + 1)
    if len(decoded) > limit:
        return decoded[:limit], False
    if complete and not decoder.is_finished():
        raise _cut_off()
    return decoded, complete


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
                raise _cut_off()
            return b"".join(pieces), False
    return b"".join(pieces), complete


def _cut_off() -> Failed:
    return Failed(Reason.BODY, "the compressed body ends in the middle")
