"""Reads YAML into a document: variables filled in, duplicate keys and syntax errors collected."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from deploywatch.errors import Problem
from deploywatch.files.document import Document, Path

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)(?=\{)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\{[^}]*\}?))"
)
# More than any config that people write with anchors has.
_REPEATED = 50_000
"""Values that aliases may stand for, all together; a file of half a kilobyte can mean billions."""
_MERGE = "tag:yaml.org,2002:merge"


def _nowhere(_: Path) -> bool:
    return False


def read(
    text: str,
    file: str,
    variables: Mapping[str, str] | None = None,
    *,
    literal: Callable[[Path], bool] = _nowhere,
    as_text: bool = False,
) -> Document:
    """Read one YAML document.

    With `variables`, `${NAME}` and `${NAME:-default}` in values are replaced (`$${` is a literal `${`; the default is
    taken for an empty variable too), but for those that are `literal`. `as_text`: numbers, true and false are the text
    that stands there.
    Syntax errors, duplicate keys and unset variables end up in `problems`, each with its place.
    """
    document = Document(file)
    with _faults_of(document, text):
        _fill(document, YAML(typ="safe", pure=True).compose(text), variables, literal, as_text=as_text)
    return document


def read_all(text: str, file: str) -> list[Document]:
    """Read all YAML documents of a text, such as manifests; a syntax error is in the last one's `problems`."""
    documents: list[Document] = []
    last = Document(file)
    with _faults_of(last, text):
        for node in YAML(typ="safe", pure=True).compose_all(text):
            documents.append(Document(file))
            _fill(documents[-1], node, None)
    return [*documents, last] if last.problems else documents


@contextmanager
def _faults_of(document: Document, text: str) -> Iterator[None]:
    """Notes in the document what makes its text unreadable."""
    file = document.file
    try:
        yield
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(file, line, column, "", f"not valid YAML: {error.problem or error.context}"))
    except ReaderError as error:
        before = text[: error.position].split("\n")
        message = f"not valid YAML: {str(error).splitlines()[0]}"
        document.problems.append(Problem(file, len(before), len(before[-1]) + 1, "", message))
    except RecursionError:
        document.problems.append(Problem(file, 1, 1, "", "is nested too deeply to be read"))


def _fill(
    document: Document,
    node: Node | None,
    variables: Mapping[str, str] | None,
    literal: Callable[[Path], bool] = _nowhere,
    *,
    as_text: bool = False,
) -> None:
    if node is None:
        return
    try:
        document.data = _Reader(document, variables, literal, as_text=as_text).value(node, ())
    except _BombError as error:
        message = f"aliases repeat more than {_REPEATED} values here; write them out"
        document.problems.append(Problem(document.file, *error.place, "", message))
    except RecursionError:
        document.problems.append(Problem(document.file, 1, 1, "", "is nested too deeply to be read"))


# Not the document's other problems: those stop one value, this one stops the reading.
class _BombError(Exception):
    def __init__(self, node: Node) -> None:
        super().__init__()
        self.place = node.start_mark.line + 1, node.start_mark.column + 1


class _Reader:
    def __init__(
        self,
        document: Document,
        variables: Mapping[str, str] | None,
        literal: Callable[[Path], bool],
        *,
        as_text: bool,
    ) -> None:
        self.document = document
        self.as_text = as_text
        self.literal = literal
        self.variables = variables
        self.open: list[int] = []
        self.met: set[int] = set()
        self.repeated = 0

    def value(self, node: Node, path: Path) -> Any:
        # The first place counts: with a merge key the same path is met again at the anchor.
        self.document.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        # ruamel gives the very node of an anchor for each alias, so the object itself shows a circle.
        if id(node) in self.open:
            self.document.report(path, "an alias that contains itself; write the value out")
            return None
        self._meet(node)
        self.open.append(id(node))
        # Compose's `!override` and `!reset` are tags of their own, which who reads the document may know.
        if not str(node.tag).startswith("tag:yaml.org,2002:"):
            self.document.tags[path] = str(node.tag)
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self.scalar(node, path)
        finally:
            self.open.pop()

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        # Merged keys first, so that a key's place is where the mapping itself has it.
        for key_node, value_node in sorted(node.value, key=lambda pair: not _merges(pair[0])):
            if _merges(key_node):
                sources = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                for source in sources:
                    value = self.value(source, path)
                    merged = {**value, **merged} if isinstance(value, dict) else merged
                continue
            # As text, whatever YAML makes of it: `on:` would else be the key True, and `5:` a number.
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            here = (*path, key)
            self.document.places[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in own:
                self.document.report(here, "the key is there twice; keep one")
            own[key] = self.value(value_node, here)
        return {**merged, **own}

    def _meet(self, node: Node) -> None:
        """Count what aliases repeat, so that a small file cannot become a huge value."""
        if id(node) in self.met:
            self.repeated += 1
            if self.repeated > _REPEATED:
                raise _BombError(node)
        self.met.add(id(node))

    def scalar(self, node: Node, path: Path) -> Any:
        text = str(node.value)
        if node.start_mark.line == node.end_mark.line:
            # To point at a character within a value, as in a condition, the quote before it has to be counted.
            quote = 1 if getattr(node, "style", None) in {"'", '"'} else 0
            self.document.texts[path] = (node.start_mark.line + 1, node.start_mark.column + 1 + quote)
        kind = str(node.tag).rpartition(":")[2]
        if kind == "null":
            return None
        if self.as_text and kind in {"bool", "int", "float"}:
            return text
        if kind == "bool":
            # ruamel reads YAML 1.2, where only true and false are booleans by themselves; the others come with an
            # explicit tag.
            return text.lower() in {"true", "yes", "on", "y"}
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return _float(text)
        if kind == "binary":
            return self.binary(text, path)
        return text if self.literal(path) else self.fill(text, path)

    def binary(self, text: str, path: Path) -> str:
        """The bytes that base64 stands for; those that are no UTF-8 are surrogates."""
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "surrogateescape")
        except ValueError:
            self.document.report(path, "is not base64, as !!binary must be")
            return ""

    def fill(self, text: str, path: Path) -> str:
        if self.variables is None or "$" not in text:
            return text
        variables = self.variables

        def replace(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match["escaped"]:
                return "$"
            if match["broken"]:
                return self.unknown(path, f"{match[0]!r} is not a variable; write ${{NAME}}, or $${{ for a plain ${{")
            value = variables.get(name)
            if value is None and default is None:
                message = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
                return self.unknown(path, message)
            if value:
                self.document.filled.add(value)
            return value or default or ""  # as in a shell, `:-` also stands in for an empty variable

        return _VARIABLE.sub(replace, text)

    def unknown(self, path: Path, message: str) -> str:
        self.document.report(path, message)
        self.document.unfilled.add(path)
        return ""


def _merges(key: Node) -> bool:
    return key.tag == _MERGE or (isinstance(key, ScalarNode) and key.value == "<<")


def _float(text: str) -> float | str:
    """The number, or its text where it is a decimal, whose digits all count."""
    return text if _is_decimal(text) else float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))


def _integer(text: str) -> int | str:
    try:
        return int(text.replace("_", ""), 0)
    except ValueError:
        return text  # such as 007: its digits are meant as text


def _is_decimal(text: str) -> bool:
    """A plain decimal stays text, so that a quantity is read exactly; models make a float of it where they want one."""
    return re.fullmatch(r"-?\d+\.\d+", text) is not None
