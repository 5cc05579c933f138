"""Every value of a parsed config, replaced by a value of another kind: what a mutation of bytes seldom comes to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

from deploywatch.files.document import Document

OTHERS: tuple[Any, ...] = (None, True, 7, -1, "", "x", [], [[]], [{}], {}, {"x": {}}, {"x": [7, None]}, ["x", 7])


def reshaped(document: Document, dice: Random) -> Document:
    """The document with one part of it replaced."""
    place = dice.choice(list(_places(document.data)))
    data = _with(document.data, place, dice.choice(OTHERS))
    return Document(document.file, data, dict.fromkeys(_places(data), document.place(place)) | document.places)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from _places(part, (*path, key))


def _with(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    changed = copy.deepcopy(value)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = copy.deepcopy(other)
    return changed
