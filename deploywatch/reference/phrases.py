"""What a JSON Schema asks of one value, as a phrase of Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from deploywatch.files.editor_schema import VARIABLE, Schema

Link = Callable[[str], str]
"""Gives the Markdown for a reference, such as `#/$defs/Layer`."""

_ABOUT = {"title", "description", "default", "deprecated"}
_FORMATS = {
    "password": "secret text",
    "path": "a file's path",
    "date": "a date",
    "date-time": "a time with its zone",
    "uri": "a URL",
}


class UnknownKeywordError(ValueError):
    """A schema has a keyword that no phrase is known for: the reference would leave out what it asks."""


def phrase(part: Schema, link: Link) -> str:
    """What may stand where this schema counts; UnknownKeywordError when a part of it cannot be said."""
    rest = {key: value for key, value in part.items() if key not in _ABOUT}
    if "$ref" in rest:
        return link(_taken(rest, "$ref"))
    if "const" in rest:
        return _code(rest["const"])
    for key in ("anyOf", "oneOf"):
        if key in rest:
            return _one_of(rest.pop(key), rest, link)
    if "enum" in rest:
        return ", ".join(_code(value) for value in rest["enum"])
    kinds = rest.pop("type", None)
    if isinstance(kinds, list):
        return " or ".join(
            phrase({**rest, "type": kind} if kind == "string" else {"type": kind}, link) for kind in kinds
        )
    words = _KINDS[kinds](rest, link) if kinds in _KINDS else "anything"
    _require_empty(rest)
    return words


def _one_of(options: Iterable[Any], rest: Schema, link: Link) -> str:
    _require_empty({name: value for name, value in rest.items() if name != "type"})
    return " or ".join(dict.fromkeys(phrase(option, link) for option in options if option != VARIABLE))


def _taken(rest: Schema, key: str) -> str:
    value: str = rest.pop(key)
    _require_empty(rest)
    return value


def _require_empty(rest: Schema) -> None:
    if rest:
        raise UnknownKeywordError(
            f"say in reference/phrases.py what {', '.join(sorted(rest))} means: {json.dumps(rest)}"
        )


def _code(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"``{text}``" if "`" in text else f"`{text}`"


def _text(rest: Schema, _: Link) -> str:
    examples = rest.pop("examples", [])
    if "30s" in examples:
        return f"a duration, such as {_code(examples[0])}"
    words = _FORMATS.get(kind := rest.pop("format", ""), f"text ({kind})" if kind else "text")
    if examples:
        words += f" such as {', '.join(_code(example) for example in examples)}"
    pattern, least, most = _own(rest.pop("pattern", "")), rest.pop("minLength", 0), rest.pop("maxLength", None)
    size = f"{least} to {most} characters" if most is not None else f"at least {least} characters"
    limits = [size] if most is not None or least > 1 else (["not empty"] if least else [])
    return ", ".join((words, *limits, *([f"matching {_code(pattern)}"] if pattern else [])))


def _own(pattern: str) -> str:
    """A pattern without the variable that may stand in place of what it matches, which each page says at its top."""
    return pattern.removesuffix(f"|{VARIABLE['pattern']}")


def _number(name: str) -> Callable[[Schema, Link], str]:
    def said(rest: Schema, _: Link) -> str:
        least, most = rest.pop("minimum", None), rest.pop("maximum", None)
        above, below = rest.pop("exclusiveMinimum", None), rest.pop("exclusiveMaximum", None)
        if least is not None and most is not None:
            return f"{name}, {least} to {most}"
        bounds = [("at least", least), ("at most", most), ("above", above), ("below", below)]
        return ", ".join((name, *(f"{word} {bound}" for word, bound in bounds if bound is not None)))

    return said


def _list(rest: Schema, link: Link) -> str:
    items, least, most = rest.pop("items", {}), rest.pop("minItems", 0), rest.pop("maxItems", None)
    rest.pop("uniqueItems", None)
    if prefix := rest.pop("prefixItems", ()):
        return f"a list of {', '.join(phrase(item, link) for item in prefix)}"
    size = (
        "" if most is None and not least else (f"{least} to {most} of" if most is not None else f"{least} or more of")
    )
    return f"a list of {size}{' ' if size else ''}{_grouped(phrase(items, link))}"


def _mapping(rest: Schema, link: Link) -> str:
    if "properties" in rest:
        return _small_mapping(rest, link)
    names = rest.pop("propertyNames", {})
    values = dict(rest.pop("patternProperties", {}))
    others = rest.pop("additionalProperties", not values)
    least, most = rest.pop("minProperties", 0), rest.pop("maxProperties", None)
    if values:
        ((pattern, value),) = values.items()
        names = {"type": "string", "pattern": pattern}
    else:
        value = others if isinstance(others, dict) else {}
    size = f" of {least} to {most}" if most is not None else (f" of at least {least}" if least else "")
    if names and not names.keys() & {"$ref", "anyOf", "oneOf", "enum", "const"}:
        names = {"type": "string", **names}
    named = f" ({phrase(names, link)})" if names else ""
    return f"a mapping{size}: name{named} → {_grouped(phrase(value, link))}"


def _small_mapping(rest: Schema, link: Link) -> str:
    """A mapping with few keys that is no section of its own."""
    properties, required, others = (
        rest.pop("properties"),
        rest.pop("required", ()),
        rest.pop("additionalProperties", True),
    )
    if others is not False:
        raise UnknownKeywordError(
            f"say in reference/phrases.py that {', '.join(properties)} may have other keys beside"
        )
    words = (f"`{key}` ({phrase(value, link)}{', required' * (key in required)})" for key, value in properties.items())
    return f"a mapping of {', '.join(words)}"


def _grouped(words: str) -> str:
    return f"({words})" if " or " in words else words


_KINDS: dict[str | None, Callable[[Schema, Link], str]] = {
    "string": _text,
    "integer": _number("a whole number"),
    "number": _number("a number"),
    "boolean": lambda *_: "`true` or `false`",
    "null": lambda *_: "`null`",
    "array": _list,
    "object": _mapping,
}


def cell(text: str) -> str:
    """Text as it may stand in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def inert(text: str) -> str:
    """Prose in which no word is taken for an HTML element; what stands in backticks is left as it is."""
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in re.split(r"(`[^`]*`)", text))
