"""The files of a review: each is read once, and what is wrong in any of them is gathered."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deploywatch.errors import ConfigError, Problem
from deploywatch.files import yaml_reader
from deploywatch.files.document import Document


class Files:
    """Reads files, and keeps their problems and what must be said about them."""

    def __init__(self) -> None:
        self._documents: dict[Path, list[Document]] = {}
        self._problems: list[Problem] = []
        self.notes: list[str] = []

    def document(self, path: Path) -> Document | None:
        """The only document of a file; None if it cannot be read, which is then one of the problems."""
        documents = self.documents(path)
        if len(documents) > 1:
            documents[1].report((), "a compose file is one document; take the --- out")
        return documents[0] if documents else None

    def documents(self, path: Path) -> list[Document]:
        """All YAML documents of a file."""
        if path not in self._documents:
            text = self.text(path)
            self._documents[path] = [] if text is None else yaml_reader.read_all(text, str(path))
        return self._documents[path]

    def text(self, path: Path) -> str | None:
        """A file's text; None if it cannot be read, which is then one of the problems."""
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            self.report(path, 0, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.report(path, 0, f"is not UTF-8 at byte {error.start}")
        return None

    def report(self, path: Path, line: int, message: str) -> None:
        """Note a problem at a line, 0 for the whole file."""
        self._problems.append(Problem(str(path), line, 1 if line else 0, "", message))

    def add(self, problems: Iterable[Problem]) -> None:
        """Keep the problems that somebody else found."""
        self._problems.extend(problems)

    @property
    def bad(self) -> bool:
        """Whether a problem is known by now."""
        return bool(self._problems)

    def note(self, text: str) -> None:
        """Say what a review cannot see, once."""
        # A file that two sources name would be remarked upon twice.
        if text not in self.notes:
            self.notes.append(text)

    def raise_problems(self) -> None:
        """ConfigError with every problem of every file, if there is one."""
        problems = [*self._problems, *(p for file in self._documents.values() for each in file for p in each.problems)]
        if problems:
            raise ConfigError(problems)
