"""Names of metrics and labels, patterns and chosen values, as a policy may write them."""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

T = TypeVar("T", bound=Sized)


def _metric_name(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", value) and not _is_utf8_name(value):
        raise ValueError(f"{value!r} is no metric name")
    return value


def _label_name(value: str) -> str:
    plain = re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value) or _is_utf8_name(value)
    if not plain or value.startswith("__"):
        raise ValueError(f"{value!r} is no label name")
    return value


# Of alerts, whose labels Alertmanager routes by: there dots would have to be quoted everywhere.
def _own_label(value: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", value) or value.startswith("__"):
        raise ValueError(f"{value!r} is no name for a label of alerts; use letters, digits and _")
    return value


# OpenTelemetry's names have dots; a name without one is held to the old letters, as a typing error is likelier.
def _is_utf8_name(value: str) -> bool:
    """Whether it is a name as OpenTelemetry writes them, with points; what else Prometheus 3 takes is refused."""
    return "." in value and re.fullmatch(r"[^\W\d][\w./:-]*", value) is not None


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


def _something(value: T) -> T:
    if not value:
        raise ValueError("is empty; give at least one")
    return value


@dataclass(frozen=True, slots=True)
class Constant:
    """What all series of a metric are of, where no label of theirs says it."""

    always: str


def _label_or_constant(value: object) -> str | Constant:
    match value:
        case Constant():
            return value
        case str():
            return _label_name(value)
        case {"always": str(always), **others} if always and not others:
            return Constant(always)
    raise ValueError("write the label's name, or {always: production} where the series have no such label")


NotEmpty = AfterValidator(_something)
"""Refuses nothing at all, once what is there has been read."""
MetricName = Annotated[str, AfterValidator(_metric_name)]
LabelName = Annotated[str, AfterValidator(_label_name)]
OwnLabel = Annotated[str, AfterValidator(_own_label)]
LabelOrConstant = Annotated[
    str | Constant,
    BeforeValidator(_label_or_constant),
    PlainSerializer(lambda given: {"always": given.always} if isinstance(given, Constant) else given),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"always": {"type": "string", "minLength": 1}},
                    "required": ["always"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""What a label of ours is called there, or what it always is."""
Pattern = Annotated[str, AfterValidator(_pattern)]


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Chosen = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_several),
    NotEmpty,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One value of a label, or several."""


# Not re.escape: RE2 knows fewer escapes than Python.
def literal_pattern(text: str) -> str:
    """A value as a regular expression that matches nothing else."""
    return re.sub(r"([.+*?()|\[\]{}^$\\])", r"\\\1", text)
