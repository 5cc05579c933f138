"""URLs as they are written: a valid one is sent as it stands, and only what no URL may hold is percent-encoded."""

from __future__ import annotations

import re

from yarl import URL

_START = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:)?(?://(?P<authority>[^/?#\\]*))?")
# What RFC 3986 has no place for; a percent sign that begins no escape is one of them.
_UNSAFE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")


def as_written(text: str) -> URL:
    """The URL, or the reference that a Location header holds, with every escape as it was; ValueError for none."""
    normal = URL(text)
    start = _START.match(text)
    if start is None or not (start["authority"] or "").isascii():
        # An internationalised name needs an encoding of its own.
        return normal
    user, at, host = (start["authority"] or "").rpartition("@")
    authority = "" if start["authority"] is None else f"//{user}{at}{host.lower()}"
    rest = _UNSAFE.sub(_escaped, text[start.end() :])
    return URL(f"{(start['scheme'] or '').lower()}{authority}{rest}", encoded=True)


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))
