"""JSON bodies that come in over HTTP: read into a model, or refused with every fault at its JSON path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from deploywatch import json_text

B = TypeVar("B", bound=BaseModel)

_KEY_LIMIT = 80
_FAULTS_LIMIT = 50


class BodyError(Exception):
    """A body that is not what it must be; `faults` are sentences, each with its JSON path."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read(body: bytes, model: type[B]) -> B:
    """Read a body as JSON into the model; BodyError when that is not possible, or when readers differ about it."""
    try:
        json_text.parse(body)
    except ValueError as error:
        raise BodyError([f"$: Invalid JSON: {error}"]) from error
    # The model reads the bytes itself: what JSON has no type for, such as a time, is then taken from a text.
    return _refused(lambda: model.model_validate_json(body))


def read_form(fields: Mapping[str, Sequence[str]], model: type[B]) -> B:
    """Read a form's fields into the model, an empty one as not given; BodyError when that is not possible."""
    given: dict[str, object] = {}
    for name, values in fields.items():
        known = model.model_fields.get(name)
        several = known is not None and get_origin(known.annotation) is tuple
        if several or values[-1]:
            given[name] = list(values) if several else values[-1]
    return _refused(lambda: model.model_validate(given))


def _refused(read: Callable[[], B]) -> B:
    try:
        return read()
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        faults = [f"{_path(fault['loc'])}: {fault['msg']}" for fault in errors[:_FAULTS_LIMIT]]
        more = len(errors) - len(faults)
        raise BodyError([*faults, *([f"and {more} more"] if more else [])]) from error


def _path(loc: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in loc)


def _key(part: str) -> str:
    """A key as it can be shown: it comes from the body, so it may be long and have any character."""
    return "".join(letter if letter.isprintable() else "?" for letter in part[:_KEY_LIMIT])
