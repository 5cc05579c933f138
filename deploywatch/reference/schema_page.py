"""Writes a page of reference from a JSON Schema: each object a section, each key a row of it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploywatch import json_text
from deploywatch.files.editor_schema import Schema
from deploywatch.reference.phrases import UnknownKeywordError, cell, inert, phrase

# An object's keywords: its rows say them, or `_exclusions` does.
_OBJECT = {
    "title",
    "description",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "allOf",
    "$schema",
    "$defs",
}
_MANY = 4


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the schema that it is made from."""

    file: str
    title: str
    about: str
    schema: Path

    def text(self) -> str:
        """The page as Markdown; UnknownKeywordError when a part of the schema cannot be said."""
        made = json_text.parse(self.schema.read_bytes())
        head = f"# {self.title}\n\n{self.about}\n\n{inert(made.get('description', ''))}\n"
        return (
            "\n".join((head, "## The file\n", table(made, link := linker(made["$defs"])), *_sections(made, link)))
            + "\n"
        )


class linker:  # noqa: N801 - it is called as a function is
    """Gives the link to a definition's section; what has no keys of its own is said in the place of the link."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self.headings = _headings(definitions)

    def __call__(self, reference: str) -> str:
        """Markdown for a reference such as `#/$defs/Layer`."""
        name = reference.rsplit("/", 1)[1]
        if not has_section(self.definitions[name]):
            return phrase(self.definitions[name], self)
        heading = self.headings[name]
        return f"[{heading}](#{heading.lower().replace(' ', '-')})"


def has_section(part: Schema) -> bool:
    """Whether it is an object with named keys, or a choice of such objects that stand nowhere else."""
    return "properties" in part or any("properties" in option for option in part.get("oneOf", ()))


def _headings(definitions: dict[str, Schema]) -> dict[str, str]:
    """Each definition's heading; pydantic writes `a__b__Name` where two modules have the same name."""
    made = {}
    for name in definitions:
        *modules, own = name.split("__")
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", own)
        made[name] = f"{words} of {modules[-1].replace('_', ' ')}" if modules else words
    return made


def _sections(made: Schema, link: linker) -> Iterator[str]:
    """A section for each definition, in the order in which the file comes to it."""
    places = _places(made, link.definitions)
    if lost := {name for name, part in link.definitions.items() if has_section(part)} - places.keys():
        raise UnknownKeywordError(f"nothing leads to {', '.join(sorted(lost))}")
    for name, where in places.items():
        part = link.definitions[name]
        if not has_section(part):
            continue
        yield f"## {link.headings[name]}\n"
        more = f", and {len(where) - _MANY} more places" if len(where) > _MANY else ""
        yield f"Stands at {', '.join(f'`{place}`' for place in where[:_MANY])}{more}.\n"
        yield from object_section(part, link)


def object_section(part: Schema, link: linker) -> Iterator[str]:
    """What is said of an object, and its table; of a choice, those of each choice."""
    if part.get("description"):
        yield f"{inert(part['description'])}\n"
    if "properties" in part:
        yield table(part, link)
        return
    for option in part["oneOf"]:
        yield f"### {option['title'][:1].upper()}{option['title'][1:]}\n"
        yield from object_section(option, link)


def table(part: Schema, link: linker) -> str:
    """The table of an object's keys; UnknownKeywordError when the object has a keyword that is not said."""
    if unknown := part.keys() - _OBJECT - {"$id"}:
        raise UnknownKeywordError(f"say in reference/schema_page.py what {', '.join(sorted(unknown))} means")
    instead = _instead(part)
    rows = ["| key | what | default | |", "| --- | --- | --- | --- |"]
    for key, value in part["properties"].items():
        default = "required" if key in part.get("required", ()) else _default(value)
        if key in instead:
            default = "; ".join(filter(None, (default, f"or `{instead[key]}`")))
        rows.append(
            f"| `{key}` | {cell(phrase(value, link))} | {cell(default)} | {cell(inert(value.get('description', '')))} |"
        )
    rows += ["", *_other_keys(part, link)]
    return "\n".join(rows)


def _other_keys(part: Schema, link: linker) -> Iterator[str]:
    others = part.get("additionalProperties", True)
    if isinstance(others, dict):
        yield f"Any other key: {phrase(others, link)}.\n"
    elif others is True and part.get("type") == "object":
        yield "Any other key may stand here.\n"


def _default(value: Schema) -> str:
    default = value.get("default")
    if default is None or default in ("", [], {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _instead(part: Schema) -> dict[str, str]:
    """Which key stands in place of which: one of the two is required, or at most one may be there."""
    pairs: dict[str, str] = {}
    for rule in part.get("allOf", ()):
        match rule:
            case {"not": {"required": [first, second]}}:
                pairs |= {first: second, second: first}
            case {"oneOf": [{"required": [first]}, {"required": [second]}]}:
                pairs |= {first: second, second: first}
            case _:
                raise UnknownKeywordError(f"say in reference/schema_page.py what this means: {json.dumps(rule)}")
    return pairs


def _places(made: Schema, definitions: dict[str, Schema]) -> dict[str, list[str]]:
    """Where each definition stands, as paths of keys; the nearest first. Inside itself it is not followed again."""
    places: dict[str, list[str]] = {}
    waiting: deque[tuple[str, str, tuple[str, ...]]] = deque(
        (reference, place, ()) for reference, place in _references(made, "")
    )
    while waiting:
        name, place, through = waiting.popleft()
        places.setdefault(name, [])
        if place not in places[name]:
            places[name].append(place)
        if name not in through and len(places[name]) == 1:
            waiting += [(below, at, (*through, name)) for below, at in _references(definitions[name], place)]
    return places


def _references(part: Schema, place: str) -> Iterator[tuple[str, str]]:
    if "$ref" in part:
        yield part["$ref"].rsplit("/", 1)[1], place
    for key, value in part.get("properties", {}).items():
        yield from _references(value, f"{place}.{key}" if place else key)
    for option in (*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("prefixItems", ())):
        yield from _references(option, place)
    if isinstance(part.get("items"), dict):
        yield from _references(part["items"], f"{place}[]")
    for values in (part.get("additionalProperties"), *part.get("patternProperties", {}).values()):
        if isinstance(values, dict):
            yield from _references(values, f"{place}.<name>")
