"""Config fields that several sections share: URLs and secrets that go into a request."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from deploywatch.secrets import Masked, Secret


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, by name or address: no proxy stands between."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("must be a URL such as https://example.com/")
    # A URL is shown on pages and in logs; credentials belong into fields that are masked.
    if parts.username or parts.password:
        raise ValueError("must not carry credentials")
    return url


def _printable(secret: Masked) -> Masked:
    text = secret.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of printable ASCII characters; is it empty, or does it span lines?")
    return secret


def _secret_http_url(secret: Masked) -> Masked:
    _http_url(secret.get_secret_value())
    return secret


HttpUrl = Annotated[str, AfterValidator(_http_url)]
"""A config field for an http or https URL without credentials."""


SecretHttpUrl = Annotated[Secret, AfterValidator(_secret_http_url)]
"""A config field for a URL that may be a secret as a whole, as those that let anybody post are."""


Token = Annotated[Secret, AfterValidator(_printable)]
"""A config field for a secret that goes into a header: one printable word."""
