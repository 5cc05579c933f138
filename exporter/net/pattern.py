"""Regular expressions of a config: RE2's, as Prometheus has them, whose time grows with the text and never explodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import AfterValidator

_INLINE = 128 * 1024
"""Bytes that are searched in so little time that a thread would cost more."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where an expression matched: the groups by number, 0 for the whole, and by name."""

    groups: tuple[str, ...]
    named: Mapping[str, str]

    def group(self, key: str) -> str:
        """A group by its number or name; empty when it did not take part."""
        if key.isdigit():
            return self.groups[int(key)] if int(key) < len(self.groups) else ""
        return self.named.get(key, "")


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Any:
    """The expression over bytes in UTF-8; re2.error when it is none."""
    options = re2.Options()
    # RE2 would write each faulty expression to standard error, beside our own message.
    options.log_errors = False
    # RE2: linear in its input, so that no answer of a server can make a pattern run for minutes.
    return re2.compile(pattern.encode(), options)


async def search(pattern: str, data: bytes) -> Found | None:
    """The first match in `data`; a large one is searched in a thread, where it holds nobody up."""
    expression = compiled(pattern)
    match = expression.search(data) if len(data) <= _INLINE else await asyncio.to_thread(expression.search, data)
    if match is None:
        return None
    return Found(
        tuple(_text(part) for part in (match.group(0), *match.groups())),
        {_text(name): _text(part) for name, part in match.groupdict().items()},
    )


def _text(part: bytes | None) -> str:
    return (part or b"").decode("utf-8", "replace")


def _check(pattern: str) -> str:
    try:
        compiled(pattern)
    except re2.error as error:
        text = error.args[0] if error.args else error
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        raise ValueError(f"not a regular expression as RE2 has them: {text}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_check)]
"""A config field that holds a regular expression."""
