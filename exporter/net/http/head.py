"""The head of an answer as servers really write it, put into the form that a strict parser takes.

Accepted is what other clients accept: equal lengths repeated, folded lines, blanks before a colon. What two readers
could take differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from deploywatch.exporter.results import Failed, Reason

_LINE = re.compile(rb"\r?\n")
_STATUS_LINE = re.compile(rb"\s*HTTP/\d\.\d \d{3}[^\n]*\n")
_LENGTH = b"content-length"
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def begins_well(data: bytes | bytearray) -> bool:
    """Whether it has a status line, so that what a parser does not take is further on."""
    return _STATUS_LINE.match(data) is not None


def end_of_head(data: bytes | bytearray) -> int | None:
    """How many bytes the first head takes, its empty line included; None while it has no end."""
    # Lines may end with a bare LF, which RFC 9112 (2.2) lets a recipient take.
    ends = [at + len(end) for end in (b"\n\r\n", b"\n\n") if (at := data.find(end)) >= 0]
    return min(ends, default=None)


def tidied(head: bytes) -> bytes:
    """The same head with one line a field and at most one Content-Length; Failed(protocol) when it is ambiguous."""
    status, *lines = _LINE.split(head)
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if not line:
            continue
        # Folded lines are obsolete, and sent all the same.
        if line[:1] in {b" ", b"\t"} and fields:
            name, before = fields[-1]
            fields[-1] = name, before + b" " + line.strip()
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name.rstrip(b" \t")):
            raise Failed(Reason.PROTOCOL, f"the answer is not good HTTP: no header is {_shown(line)}")
        fields.append((name.rstrip(b" \t"), value.strip()))
    others = [field for field in fields if field[0].lower() != _LENGTH]
    lengths = _lengths(value for name, value in fields if name.lower() == _LENGTH)
    return b"\r\n".join([status, *(name + b": " + value for name, value in others + lengths), b"", b""])


def _lengths(values: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    given = [value.strip() for written in values for value in written.split(b",")]
    if not given:
        return []
    if len(set(given)) > 1:
        raise Failed(
            Reason.PROTOCOL,
            f"the answer has several Content-Length, {' and '.join(_shown(value) for value in dict.fromkeys(given))}:"
            " where it ends cannot be told",
        )
    return [(b"Content-Length", given[0])]


def _shown(line: bytes) -> str:
    return repr(line[:100].decode("utf-8", "replace"))
