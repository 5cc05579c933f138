"""A YAML text as plain data, with the place of every key and value, and all faults collected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deploywatch.errors import Problem

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a document down to a value."""


@dataclass(slots=True)
class Document:
    """What a file says: `data` of plain dicts, lists and scalars; `places` of (line, column), both from 1.

    `texts` are the places where the text of a scalar on one line begins, after its quote if it has one;
    `unfilled` are the values whose variable is not known, and which therefore say nothing; `filled` is what came from
    variables, and is nobody's to see wherever it stands; `tags` are the tags of a file's own, such as `!override`.
    """

    file: str
    data: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    texts: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unfilled: set[Path] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)
    tags: dict[Path, str] = field(default_factory=dict)

    def report(self, path: Path, message: str, *, offset: int | None = None) -> None:
        """Note a problem at the value, or at its nearest parent that stands in the file.

        With `offset`, at that character of the value's text, where the value stands on one line.
        """
        line, column = self.place(path)
        if offset is not None and path in self.texts:
            line, column = self.texts[path][0], self.texts[path][1] + offset
        self.problems.append(Problem(self.file, line, column, path_text(path), message))

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of the path, or of its nearest parent that stands in the file."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def path_text(path: Path) -> str:
    """Write a key path as people read it: `services.shop.probes[0].url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
