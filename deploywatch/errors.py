"""The one root of deploywatch's errors."""

from __future__ import annotations

from dataclasses import dataclass


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
        file = " ".join(self.file.splitlines())  # a file's name may have line ends, and forges no line by them
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(DeploywatchError):
    """A file does not say what it must; carries every problem found, in the file's order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnreachableError(DeploywatchError):
    """A server that was asked did not answer, or not with what it should."""

    exit_code = 1
