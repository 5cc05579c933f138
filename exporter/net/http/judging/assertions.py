"""What must hold in a JSON document: `checks.database == healthy`, `queues.0.length < 10`, `token exists`."""

from __future__ import annotations

import contextlib
import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from deploywatch import json_text
from deploywatch.exporter.net.pattern import compiled
from deploywatch.exporter.results import Failed, Reason

_FORM = re.compile(r"(?P<path>\S+)\s+(?:(?P<exists>exists)|(?P<operator>==|!=|<=|>=|<|>|=~)\s+(?P<value>.+))")
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Assertion:
    """A path such as `queues.0.length`, an operator, and what the value is compared with."""

    path: str
    operator: str
    value: Any = None

    def __str__(self) -> str:
        """As it is written in a config."""
        return f"{self.path} exists" if self.operator == "exists" else f"{self.path} {self.operator} {self._written()}"

    def check(self, document: Any) -> None:
        """Failed when it does not hold in the document."""
        there = find(document, self.path)
        if not self._holds(there):
            raise Failed(Reason.VALUE, f"{self.path} is {_short(there)}; expected: {self}")

    def _holds(self, there: Any) -> bool:
        if self.operator == "exists":
            # A key with null or an empty text is what services write for "there is none".
            return there is not None and there != ""
        if self.operator in {"==", "!="}:
            return _equal(there, self.value) is (self.operator == "==")
        if self.operator == "=~":
            return isinstance(there, str) and compiled(self.value).search(there.encode()) is not None
        number = isinstance(there, (int, float)) and not isinstance(there, bool)
        return number and _ORDER[self.operator](there, self.value)

    def _written(self) -> str:
        return self.value if isinstance(self.value, str) else json.dumps(self.value)


def parse_assertion(text: object) -> Assertion:
    """Read `path op value`, op one of == != < <= > >= =~, or `path exists`; ValueError for anything else."""
    if isinstance(text, Assertion):
        return text
    match = _FORM.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(
            f"{text!r} is no assertion; write `path == value`, with == != < <= > >= or =~, or `path exists`"
        )
    if match["exists"]:
        return Assertion(match["path"], "exists")
    return Assertion(match["path"], match["operator"], _operand(match["operator"], match["value"].strip()))


def _operand(operator: str, text: str) -> Any:
    """What is compared with; ValueError when the operator cannot."""
    if operator == "=~":
        try:
            compiled(text)
        except Exception as error:
            raise ValueError(f"{text!r} is not a regular expression as RE2 has them") from error
        return text
    value: Any = text
    # What is not JSON is a bare word: a text.
    with contextlib.suppress(ValueError):
        value = json_text.parse(text)
    if operator in _ORDER and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{value!r} is not a number, which {operator} compares with")
    return value


def find(document: Any, path: str) -> Any:
    """The value at a path such as `queues.0.length`; Failed(value) when there is nothing."""
    here = document
    for part in path.split("."):
        if isinstance(here, dict) and part in here:
            here = here[part]
        # isdigit alone is true of digits of other scripts, and of superscripts, which int() refuses.
        elif isinstance(here, list) and part.isascii() and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        else:
            raise Failed(Reason.VALUE, f"the body has nothing at {path}")
    return here


def _equal(there: Any, wanted: Any) -> bool:
    # In Python true is 1; in JSON it is not.
    return isinstance(there, bool) is isinstance(wanted, bool) and bool(there == wanted)


def _short(value: Any) -> str:
    """The value as it is, or only what it is: a part of a secret could not be masked any more."""
    text = json.dumps(value, ensure_ascii=False)
    # Its length and no beginning of it: an answer may hold somebody's data.
    return text if len(text) <= _SHOWN else f"something {len(text)} characters long"


AssertionField = Annotated[
    Assertion,
    BeforeValidator(parse_assertion),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["status == healthy", "queues.0.length < 10", "token exists"]}),
]
"""A config field that holds an assertion."""
