"""YAML to pydantic models; every fault at once, each with file:line:column, key path and what to do."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from deploywatch.errors import ConfigError, Problem
from deploywatch.files import document, yaml_reader
from deploywatch.files.document import Document
from deploywatch.files.watched_files import WATCHED
from deploywatch.secrets import Filled, Masked, Unreadable, filled_of, is_url, redact_url, without

M = TypeVar("M", bound=BaseModel)


class Settings(BaseModel):
    """The base of every config model: frozen, strict about keys; a secret `x` may come as `x_file` instead."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)
    _filled: Filled = PrivateAttr(default=Filled())

    # pydantic copies defaults for each model that is built; what is frozen need not be.
    def __deepcopy__(self, _: dict[int, Any] | None = None) -> Self:
        """Itself: it never changes. Pydantic copies the default of each field for each model that has it."""
        return self

    @model_validator(mode="after")
    def _know_what_was_filled_in(self, info: ValidationInfo) -> Self:
        filled = (info.context or {}).get("filled")
        if filled:
            self._filled = filled
        return self

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict):
            return data
        for name, field in cls.model_fields.items():
            key = f"{name}_file"
            if key not in data or key in cls.model_fields or Masked not in set(_expand(field.annotation)):
                continue
            data = {k: v for k, v in data.items() if k != key} | {name: _secret(name, data, _base(info))}
        return data


def _secret(name: str, data: dict[str, Any], base: Path) -> str | Unreadable:
    if name in data:
        return Unreadable(f"{name} and {name}_file are both given; keep one")
    # From the config's folder, not from where the command was started: units and containers start anywhere.
    path = base / str(data[f"{name}_file"])
    try:
        return WATCHED.read_secret(path)
    except (OSError, ValueError) as error:
        return Unreadable(f"cannot read {path}: {getattr(error, 'strerror', None) or error}")


def _base(info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base


def _from_config_folder(path: Path, info: ValidationInfo) -> Path:
    return _base(info) / path.expanduser()


RelativePath = Annotated[Path, AfterValidator(_from_config_folder)]
"""A config field for a path, taken from the folder of the config file."""


def load(path: Path, model: type[M], *, variables: Mapping[str, str] | None = None) -> M:
    """Read a YAML file into `model`, with `${VAR}` from `variables` (the environment, when not given).

    Raises ConfigError with every problem found; a file that cannot be read is one of them.
    """
    document = read_file(path, os.environ if variables is None else variables)
    return build(document, model, base=path.parent)


def read_file(
    path: Path,
    variables: Mapping[str, str] | None = None,
    *,
    literal: Callable[[document.Path], bool] = lambda _: False,
    as_text: bool = False,
) -> Document:
    """Read a file as a Document; one that cannot be read raises ConfigError.

    At `literal` paths `${` stands for itself; `as_text` leaves numbers, true and false as they are written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", f"is not UTF-8 at byte {error.start}")]) from error
    return yaml_reader.read(text, str(path), variables, literal=literal, as_text=as_text)


def build(document: Document, model: type[M], *, base: Path | None = None) -> M:
    """Validate what a document says against `model`; ConfigError carries its problems and the model's together."""
    result: M | None = None
    # An empty file is an empty mapping, whose missing keys are then named one by one.
    if document.data is None and not document.problems:
        document.data = {}
    if document.data is not None:
        try:
            context = {"base": base or Path(), "filled": Filled(document.filled)}
            result = model.model_validate(document.data, context=context)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                path, message = _explain(fault, model, document)
                # What has no value already has its own problem; that it is no number either says nothing new.
                if path not in document.unfilled:
                    document.report(path, message)
    if document.problems or result is None:
        raise ConfigError(document.problems)
    return result


def faults_of_part(
    source: Document, path: document.Path, value: Any, model: type[BaseModel], base: Path
) -> list[tuple[document.Path, str]]:
    """What is wrong with the `value` at a path of a file, as `model` has it; each fault with its path below that."""
    try:
        model.model_validate(value, context={"base": base, "filled": Filled(source.filled)})
    except ValidationError as error:
        size = len(path)
        places = {place[size:]: where for place, where in source.places.items() if place[:size] == path}
        inner = Document(source.file, value, places)
        return [_explain(fault, model, inner) for fault in error.errors(include_url=False)]
    return []


def redacted(settings: BaseModel) -> dict[str, Any]:
    """The settings as plain data with every secret masked, fit to be shown: also those in a URL that is no secret, and
    whatever came from a variable.
    """
    shown: dict[str, Any] = _without_credentials(settings.model_dump(mode="json", by_alias=True), filled_of(settings))
    return shown


def _without_credentials(value: Any, filled: frozenset[str]) -> Any:
    match value:
        case dict():
            return {key: _without_credentials(item, filled) for key, item in value.items()}
        case list():
            return [_without_credentials(item, filled) for item in value]
        case str():
            masked = without(value, filled)
            return redact_url(masked) if is_url(masked) else masked
    return value


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known word, else the list of what is known."""
    words = sorted(set(known))
    # 0.6 is difflib's own: two letters in a word of five may be wrong.
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(words)}" if words else ""


def _about_tag(key: str, context: Mapping[str, Any]) -> str:
    """What is wrong with the key that says of which kind an entry is."""
    if "tag" not in context:
        return "is required; add it"
    tags = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
    return f"unknown {key} {context['tag']!r}{nearest(str(context['tag']), tags)}"


def _explain(fault: ErrorDetails, model: type[BaseModel], source: Document) -> tuple[document.Path, str]:
    path = _in_file(fault, model, source)
    context = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return path, "is required; add it"
        case "extra_forbidden":
            return path, f"unknown key{nearest(str(path[-1]), _known_keys(model, fault['loc'][:-1]))}"
        case "literal_error" | "enum":
            return path, f"must be {context['expected']}, not {fault['input']!r}"
        case "union_tag_invalid" | "union_tag_not_found":
            key = str(context["discriminator"]).strip("'")
            return (*path, key), _about_tag(key, context)
        case "model_type" | "dict_type":
            return path, "must be a mapping, with a `key: value` on each line"
        case _:
            message = fault["msg"].removeprefix("Value error, ")
            return path, message[:1].lower() + message[1:] if message.startswith("Input") else message


def _in_file(fault: ErrorDetails, model: type[BaseModel], source: Document) -> document.Path:
    """The fault's location as keys of the file: without union tags, and with `_file` where that was given."""
    loc = fault["loc"]
    path: document.Path = ()
    for position, part in enumerate(loc):
        if (*path, part) in source.places:
            path = (*path, part)
        elif (*path, f"{part}_file") in source.places:
            path = (*path, f"{part}_file")
        elif position == len(loc) - 1 and (fault["type"] == "missing" or part in _known_keys(model, loc[:-1])):
            path = (*path, part)
    return path


def _known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """The keys that the model at this location accepts."""
    # A set, as a key may stand in several models of a union, and the fault does not say which was meant.
    types: set[Any] = {model}
    for part in loc:
        below = {problem_below for type_ in types for problem_below in _below(type_, part)}
        types = below or {type_ for type_ in types if _tagged(type_, part)} or types
    return {
        key
        for type_ in types
        if _is_model(type_)
        for name, field in type_.model_fields.items()
        for key in _keys(field.alias or name, field.annotation)
    }


def _keys(name: str, annotation: Any) -> Iterator[str]:
    yield name
    if Masked in set(_expand(annotation)):
        yield f"{name}_file"


def _below(annotation: Any, part: str | int) -> Iterator[Any]:
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            if part in {name, field.alias}:
                yield from _expand(field.annotation)
    elif get_origin(annotation) is dict or get_origin(annotation) is Mapping:
        yield from _expand(get_args(annotation)[1])
    elif isinstance(part, int) and get_args(annotation):
        yield from _expand(get_args(annotation)[0])


def _tagged(annotation: Any, tag: str | int) -> bool:
    return _is_model(annotation) and any(
        get_origin(field.annotation) is Literal and tag in get_args(field.annotation)
        for field in annotation.model_fields.values()
    )


def _expand(annotation: Any) -> Iterator[Any]:
    """Every alternative of an annotation, without Annotated and Union around it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _expand(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for argument in get_args(annotation):
            yield from _expand(argument)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
