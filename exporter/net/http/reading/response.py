"""An HTTP answer: status, fields, body."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploywatch.exporter.net.resolve import Address
from deploywatch.exporter.results import Failed


@dataclass(slots=True)
class Response:
    """What came back; `body` is at most the limit long, and `complete` says whether that is all of it.

    A header that is there several times has its values joined by commas, cookies by line ends; bytes that
    are no UTF-8 are surrogates, so that they can be sent again as they came. Of a body that is not
    encoded as was asked for, `undecoded` says why, and `body` is empty. `secure` says that it came over TLS.
    """

    status: int
    version: str
    headers: dict[str, str]
    address: Address | None = None
    body: bytes = b""
    complete: bool = True
    bytes_read: int = 0
    undecoded: Failed | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    secure: bool = False

    def values(self, name: str) -> list[str]:
        """The values of a header, each as it was sent."""
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def content_length(self) -> int:
        """The Content-Length header; -1 without one."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() else -1
