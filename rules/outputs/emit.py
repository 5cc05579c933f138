"""Writes plain data as YAML with comments, always the same way, so that a build changes only what has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploywatch.quantity import plain

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:-]*(?: [A-Za-z0-9_./(-][A-Za-z0-9_.,/():-]*)*")
_DURATION = re.compile(r"(?:\d+(?:ms|[wdhms]))+")
# Words that YAML 1.1, which promtool and older tools read, takes for something else than text.
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"}


@dataclass(frozen=True, slots=True)
class Remarked:
    """A value of a list or mapping with comment lines above it."""

    remarks: tuple[str, ...]
    value: Any


# Our own few lines, because a library writes no comments above keys, and folds long PromQL.
def yaml(data: Mapping[str, Any], *, header: Sequence[str] = ()) -> str:
    """Write mappings, lists, texts, whole numbers and truth values; a text of several lines as a block."""
    lines = [f"# {line}" for line in header]
    return "\n".join([*lines, *_mapping(data)]) + "\n"


def _mapping(data: Mapping[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        inner, remarks = (value.value, value.remarks) if isinstance(value, Remarked) else (value, ())
        yield from (f"# {remark}" for remark in remarks)
        yield from _entry(f"{_scalar(key)}:", inner)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{head} |"
        yield from (f"  {line}" if line else "" for line in value.rstrip("\n").split("\n"))
    elif isinstance(value, (Mapping, list, tuple)) and value:
        yield head
        below = _mapping(value) if isinstance(value, Mapping) else _list(value)
        yield from (f"  {line}" if line else "" for line in below)
    else:
        yield f"{head} {_scalar(value)}"


def _list(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        inner, remarks = (item.value, item.remarks) if isinstance(item, Remarked) else (item, ())
        yield from (f"# {remark}" for remark in remarks)
        if isinstance(inner, Mapping) and inner:
            first = True
            for line in _mapping(inner):
                # A comment may stand above the first key; the dash belongs to the key.
                dash = first and not line.startswith("#")
                yield f"- {line}" if dash else f"  {line}" if line else ""
                first = first and not dash
        else:
            yield f"- {_scalar(inner)}"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    text = str(value)
    bare = _PLAIN.fullmatch(text) and ": " not in text and not text.endswith(":") and text.lower() not in _WORDS
    if bare or _DURATION.fullmatch(text):
        return text
    return "'" + text.replace("'", "''") + "'"
