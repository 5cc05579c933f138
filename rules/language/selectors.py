"""Which series a policy holds for: one value of a label, one of several, or a pattern with an example."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_FORMS = "write one value, a list of values, or {pattern: api-.*, such_as: api-eu}"


@dataclass(frozen=True, slots=True)
class Selector:
    """Accepts a label's value when it is one of `values`, or matches `pattern`; `sample` is one that it accepts."""

    values: tuple[str, ...]
    pattern: str
    sample: str

    def operand(self) -> tuple[str, str]:
        """The PromQL operator and its right side, not quoted."""
        if len(self.values) == 1:
            return "=", self.values[0]
        return "=~", self.pattern


def read_selector(value: Any) -> Selector:
    """Read what a policy says of a label; ValueError says which forms there are."""
    if isinstance(value, Selector):
        return value
    if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value):
        return Selector((str(value),), re.escape(str(value)), str(value))
    if isinstance(value, list) and value and all(isinstance(text, str) and text for text in value):
        return Selector(tuple(value), "|".join(_escaped(text) for text in value), value[0])
    if isinstance(value, dict) and set(value) == {"pattern", "such_as"}:
        return _by_pattern(str(value["pattern"]), str(value["such_as"]))
    raise ValueError(_FORMS)


def _by_pattern(pattern: str, sample: str) -> Selector:
    try:
        accepted = re.fullmatch(pattern, sample)
    except re.error as error:
        raise ValueError(f"pattern is not a regular expression: {error}") from error
    if accepted is None:
        raise ValueError(f"pattern {pattern!r} does not match its own example {sample!r}")
    return Selector((), pattern, sample)


def _escaped(text: str) -> str:
    # re.escape would also escape `-`, which RE2 takes, but people would wonder.
    return re.sub(r"([.+*?()|\[\]{}^$\\])", r"\\\1", text)


_SCHEMA = {
    "anyOf": [
        {"type": ["string", "integer"], "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        {
            "type": "object",
            "properties": {"pattern": {"type": "string"}, "such_as": {"type": "string"}},
            "required": ["pattern", "such_as"],
            "additionalProperties": False,
        },
    ]
}

SelectorField = Annotated[
    Selector, BeforeValidator(read_selector), PlainSerializer(lambda s: s.pattern), WithJsonSchema(_SCHEMA)
]
"""A config field that holds a selector."""
