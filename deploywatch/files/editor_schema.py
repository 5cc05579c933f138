"""JSON Schemas of configs, for editors: what a pydantic model gives, made fit for files in which `${VAR}` may stand."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from deploywatch.quantity import format_duration

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
"""A value that comes from the environment, and can be anything."""

FILE: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "A file that holds the value; its end of line is left out.",
}
"""What stands in place of a secret."""

_NOT_TEXT = {"integer", "number", "boolean"}
_TIMEDELTA = TypeAdapter(timedelta)


def finished(value: Any) -> Any:
    """A model's schema without what only pydantic knows; and what is not text may be a variable."""
    if isinstance(value, list):
        return [finished(item) for item in value]
    if not isinstance(value, dict):
        return value
    noise, default = _noise(value), value.get("default", "")
    out = {key: finished(item) for key, item in value.items() if key not in noise}
    if out.get("type") == "string" and "pattern" in out and VARIABLE["pattern"] not in out["pattern"]:
        out["pattern"] += f"|{VARIABLE['pattern']}"
    if isinstance(default, str) and default.startswith("P") and _is_duration(out):
        lasts = _TIMEDELTA.validate_python(default)
        out["default"] = f"{lasts.days}d" if lasts and lasts == timedelta(days=lasts.days) else format_duration(lasts)
    if (isinstance(out.get("type"), str) and out["type"] in _NOT_TEXT) or isinstance(out.get("enum"), list):
        kept = {key: out.pop(key) for key in ("default", "description") if key in out}
        # A variable may stand where a number does: what it holds is read when the program starts.
        return {"anyOf": [out, VARIABLE], **kept}
    return out


def _noise(value: dict[str, Any]) -> set[str]:
    """The keys that editors show to people, who learn nothing by them."""
    noise = {"writeOnly", "discriminator"} | ({"format"} if value.get("format") == "password" else set())
    default = value.get("default", "")
    if not (isinstance(default, (str, int, float, bool)) or (default and _plain(default))):
        noise.add("default")
    if isinstance(value.get("title"), str) and "properties" not in value:
        noise.add("title")
    return noise


def _plain(default: Any) -> bool:
    """Whether it is a list of plain values; what a model is by default stands in its own keys."""
    return isinstance(default, list) and all(isinstance(item, (str, int, float)) for item in default)


def _is_duration(part: Schema) -> bool:
    return "30s" in part.get("examples", ()) or any(_is_duration(option) for option in part.get("anyOf", ()))


def offer_files(made: Schema) -> None:
    """Say of each secret `x` that it may come as `x_file`, and never as both."""
    for part in list(_objects(made)):
        _offer_files(part)


def _objects(part: Any) -> Iterator[Schema]:
    """Every schema of an object with named keys."""
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict):
            yield part
        for value in part.values():
            yield from _objects(value)
    elif isinstance(part, list):
        for value in part:
            yield from _objects(value)


def _offer_files(part: Schema) -> None:
    properties = part["properties"]
    secrets = [name for name, value in properties.items() if _is_secret(value) and f"{name}_file" not in properties]
    rules: list[Schema] = []
    for name in secrets:
        properties[f"{name}_file"] = FILE
        if name in part.get("required", ()):
            part["required"] = [key for key in part["required"] if key != name]
            rules.append({"oneOf": [{"required": [name]}, {"required": [f"{name}_file"]}]})
        else:
            rules.append({"not": {"required": [name, f"{name}_file"]}})
    if rules:
        part["allOf"] = rules


def _is_secret(value: Schema) -> bool:
    return value.get("format") == "password" or any(_is_secret(option) for option in value.get("anyOf", ()))


def explain(made: Schema, root: type[BaseModel]) -> None:
    """Give each key the docstring that stands below its field, in the model or in one that it comes from.

    Models are read only here: pydantic's own `use_attribute_docstrings` would read their source at every start.
    """
    models = {model.__name__: model for model in _models(root)}
    for name, part in [(root.__name__, made), *made.get("$defs", {}).items()]:
        if name not in models:
            continue
        for key, text in _explanations(models[name]).items():
            if key in part.get("properties", {}):
                part["properties"][key].setdefault("description", text)


def _models(root: type[BaseModel]) -> set[type[BaseModel]]:
    """The model, and every one that a field of it may hold."""
    models: set[type[BaseModel]] = set()
    waiting: list[Any] = [root]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in models:
            models.add(kind)
            waiting += [field.annotation for field in kind.model_fields.values()]
        waiting += get_args(kind)
    return models


def _explanations(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings below a model's fields."""
    texts: dict[str, str] = {}
    # From the oldest, so that a model's own words win over those that it inherits.
    for base in reversed(model.__mro__):
        if base is not BaseModel and issubclass(base, BaseModel):
            texts |= _docstrings(ast.parse(textwrap.dedent(inspect.getsource(base))).body[0])
    return {model.model_fields[name].alias or name: text for name, text in texts.items() if name in model.model_fields}


def _docstrings(definition: ast.stmt) -> dict[str, str]:
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(text := below.value.value, str)
    }
