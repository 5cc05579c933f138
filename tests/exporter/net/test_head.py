"""Heads of answers as servers really write them: raw bytes to the reader, whole and in pieces."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.http.reading.response_parser import HEAD_LIMIT, read_response
from deploywatch.exporter.results import Failed, Reason

ODD: Mapping[str, bytes] = {
    "equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 2\r\n\r\nhi",
    "a folded length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nhi",
    "a folded line and equal lengths": (
        b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"
    ),
    "bare line feeds": b"HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nhi",
    "bare line feeds and equal lengths": b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nhi",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nhi",
    "a control character": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "blanks after a chunk's size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n0\r\n\r\n",
    "300 KiB of headers": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300 * 1024 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "a hint before it": (
        b"HTTP/1.1 103 Early\r\nLink : </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"
    ),
}
"""What blackbox_exporter takes, and we do."""

ALSO_TAKEN: Mapping[str, bytes] = {
    "lengths in one line": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    "an empty line before it": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
}
"""What curl or RFC 9112 takes, and we do."""

REFUSED: Mapping[str, tuple[bytes, str]] = {
    "different lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhix",
        "several Content-Length, '2' and '3'",
    ),
    "different lengths in one line": (
        b"HTTP/1.1 200 OK\nContent-Length: 2, 3\n\nhix",
        "several Content-Length, '2' and '3'",
    ),
    "a length that is no number": (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", "Content-Length"),
    "a line without a colon": (b"HTTP/1.1 200 OK\r\nfoo\r\nContent-Length: 2\r\n\r\nhi", "no header is 'foo'"),
    "a status below 100": (b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nhi", "its status is below 100"),
    "what is not HTTP": (b"220 ready\r\n\r\n", "not good HTTP"),
}


async def read(data: bytes, step: int) -> Response:
    pieces = iter([data[at : at + step] for at in range(0, len(data), step)])

    async def receive() -> bytes:
        return next(pieces, b"")

    return await read_response(await receive(), receive, "GET", 1000)


@pytest.mark.parametrize("step", [1_000_000, 4096, 7])
@pytest.mark.parametrize("name", [*ODD, *ALSO_TAKEN])
async def test_what_others_accept_is_accepted(name: str, step: int) -> None:
    response = await read({**ODD, **ALSO_TAKEN}[name], step)
    assert (response.status, response.body, response.complete) == (200, b"hi", True)


async def test_a_folded_value_is_one_value() -> None:
    response = await read(ODD["a folded line and equal lengths"], 1000)
    assert response.headers == {"x": "a b", "content-length": "2"}


@pytest.mark.parametrize("step", [1_000_000, 1])
@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_ambiguous_or_no_http_is_refused_with_the_reason(name: str, step: int) -> None:
    data, told = REFUSED[name]
    with pytest.raises(Failed) as caught:
        await read(data, step)
    assert caught.value.reason is Reason.PROTOCOL
    assert told in caught.value.detail


async def test_a_head_without_an_end_is_read_up_to_a_limit() -> None:
    for head in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nX : "):
        with pytest.raises(Failed, match="within 1 MiB"):
            await read(head + b"a" * (HEAD_LIMIT + 1), 65536)
