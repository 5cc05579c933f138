"""The one root of deploywatch's errors."""

from __future__ import annotations

from dataclasses import dataclass

from deploywatch.terminal import brief

_LONGEST = 4000
"""Characters of a fault's message; more is somebody's text, and no help."""


class DeploywatchError(Exception):
    """Something the operator can act on; the message says what, where and what to do.

    The command line prints the message without a traceback and exits with `exit_code`:
    2 for usage and configuration, 1 where the thing asked for is not well or not reachable.
    """

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault in a file: where it is (`line` and `column` from 1; 0 when unknown), its key path, what to do."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        # Files come with pull requests: what they say, or are called, begins no line of ours and hides none.
        file, path, message = (brief(text, _LONGEST) for text in (self.file, self.path, self.message))
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{place}: {path}: {message}" if path else f"{place}: {message}"


class ConfigError(DeploywatchError):
    """A file does not say what it must; carries every problem found, in the file's order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnreachableError(DeploywatchError):
    """A server that was asked did not answer, or not with what it should."""

    exit_code = 1
