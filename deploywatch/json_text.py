"""JSON that others wrote, read in one way: bounded in depth, and nothing in it that our own JSON could not say."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final

DEPTH: Final = 100
"""How many lists and objects may stand within each other: those who walk through them have a stack as well."""

# An escape that may be half of a pair; whether it is one shows only once the text is read.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_OPENING: Final = re.compile(r"[\[{]")


def parse(content: bytes | str) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError, which says what is wrong with it.

    An object that says a name twice, a number that is none (NaN, or larger than any float) and nesting beyond `DEPTH`
    are refused: readers differ in what they make of them (RFC 8259, sections 4, 6 and 9). Half of a surrogate pair,
    which no UTF-8 can write, becomes U+FFFD.
    """
    # Some tools for Windows write a byte order mark before it.
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # Cheap, and right only about what can't be too deep: with fewer brackets than that there is no need to look.
    if sum(1 for _ in _OPENING.finditer(text)) > DEPTH:
        _refuse_depth(value)
    return _encodable(value) if _SURROGATE.search(text) or _has_surrogates(content) else value


_TOO_DEEP: Final = f"the JSON is nested more than {DEPTH} deep"


def _refuse_depth(value: Any) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEPTH):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for parts in inside for part in parts if isinstance(part, (dict, list))]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _encodable(value: Any) -> Any:
    match value:
        case str():
            # By way of UTF-16, where two halves that belong together become the one character that they mean.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_encodable(part) for part in value]
        case dict():
            # Names that differed in halves alone have become one.
            return _object([(_encodable(name), _encodable(part)) for name, part in value.items()])
    return value


def _has_surrogates(content: bytes | str) -> bool:
    """Whether they stand in it as they are; bytes with any would have been no UTF-8."""
    return isinstance(content, str) and not content.isascii() and any("\ud800" <= each <= "\udfff" for each in content)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"an object says {twice[:80]!r} twice")
    return fields


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:80]} is larger than any number that can be held")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_no_constant)
