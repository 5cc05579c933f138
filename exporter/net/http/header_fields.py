"""Names and values of headers in a config."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from deploywatch.secrets import Secret

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header's name and a method are made of (RFC 9110)."""


def _one_line(value: Secret) -> Secret:
    if re.search(r"[\r\n\0]", value.get_secret_value()):
        raise ValueError("must be one line")
    return value


def _header_name(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[Secret, AfterValidator(_one_line)]
