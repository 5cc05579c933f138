"""The pages of reference are what the command line, the schemas and the API say now, and leave nothing out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploywatch.files.editor_schema import VARIABLE
from deploywatch.reference import pages
from deploywatch.reference.phrases import UnknownKeywordError, inert, phrase
from deploywatch.reference.schema_page import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def written() -> dict[Path, str]:
    return pages.written()


def test_every_page_is_up_to_date(written: dict[Path, str]) -> None:
    stale = [str(path) for path, text in written.items() if not path.is_file() or path.read_text() != text]
    assert stale == [], "run: python -m deploywatch.reference"
    assert set((DOCS / "reference").iterdir()) == {path for path in written if path.parent.name == "reference"}


def test_the_reference_has_commands_and_options_with_their_defaults(written: dict[Path, str]) -> None:
    text = written[DOCS / "reference.md"]
    assert "### deploywatch rules build" in text
    assert "| `--web.listen-address TEXT` | `127.0.0.1:9872` |" in text


def keys(part: Any) -> Iterator[str]:
    """Every key that a schema names."""
    if isinstance(part, dict):
        if isinstance(properties := part.get("properties"), dict):
            yield from properties
        for value in part.values():
            yield from keys(value)
    elif isinstance(part, list):
        for value in part:
            yield from keys(value)


@pytest.mark.parametrize("page", pages.SCHEMAS, ids=lambda page: page.file)
def test_every_key_of_a_schema_is_on_its_page(page: Page, written: dict[Path, str]) -> None:
    named = set(keys(json.loads(page.schema.read_text())))
    text = written[DOCS / "reference" / page.file]
    assert len(named) > 40
    assert {key for key in named if f"`{key}`" not in text} == set()


@pytest.mark.parametrize("page", pages.SCHEMAS, ids=lambda page: page.file)
def test_every_key_at_the_top_of_a_file_is_explained(page: Page, written: dict[Path, str]) -> None:
    (top,) = re.findall(r"## The file\n(.*?)\n## ", written[DOCS / "reference" / page.file], re.DOTALL)
    rows = [line for line in top.splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == [], "write a docstring below the field"


def test_every_route_and_answer_of_the_api_is_on_its_page(written: dict[Path, str]) -> None:
    api = json.loads((DOCS / "openapi.json").read_text())
    text = written[DOCS / "reference" / "api.md"]
    routes = {f"### {method.upper()} {path}\n" for path, methods in api["paths"].items() for method in methods}
    assert {route for route in routes if route not in text} == set()
    assert {key for key in keys(api["components"]) if f"`{key}`" not in text} == set()


def test_every_link_inside_a_page_leads_to_a_heading(written: dict[Path, str]) -> None:
    lost = []
    for path, text in written.items():
        headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ ([\w ]+)$", text, re.MULTILINE)]
        links = set(re.findall(r"\]\(#([^)]*)\)", text))
        lost += [f"{path.name}#{link}" for link in links if headings.count(link) != 1]
    assert lost == []


def link(reference: str) -> str:
    return f"[{reference}]"


SAID = {
    "a duration, such as `30s` or `null`": {"anyOf": [{"type": "string", "examples": ["30s"]}, {"type": "null"}]},
    "a whole number, 1 to 5": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, VARIABLE]},
    "a number, above 0, below 1": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "text, matching `^https?://`": {"type": "string", "pattern": "^https?://"},
    "text, matching `^([a-z]+)$`": {"type": "string", "pattern": rf"^([a-z]+)$|{VARIABLE['pattern']}"},
    "text, 1 to 9 characters": {"type": "string", "minLength": 1, "maxLength": 9},
    "a list of 1 or more of ([x] or text)": {
        "type": "array",
        "items": {"oneOf": [{"$ref": "x"}, {"type": "string"}]},
        "minItems": 1,
    },
    "a mapping of at least 1: name (`a`, `b`) → [y]": {
        "type": "object",
        "propertyNames": {"enum": ["a", "b"]},
        "additionalProperties": {"$ref": "y"},
        "minProperties": 1,
    },
    "`200`": {"const": 200},
    "anything": {},
}


@pytest.mark.parametrize(("text", "schema"), SAID.items(), ids=SAID)
def test_a_schema_is_said_in_words(text: str, schema: dict[str, Any]) -> None:
    assert phrase(schema, link) == text


UNSAID: list[dict[str, Any]] = [
    {"type": "string", "contentEncoding": "base64"},
    {"type": "integer", "multipleOf": 5},
    {"$ref": "x", "minProperties": 1},
    {"anyOf": [{"type": "string"}], "not": {"const": "x"}},
    {"type": "object", "properties": {"a": {}}},
]


@pytest.mark.parametrize("schema", UNSAID)
def test_what_cannot_be_said_is_an_error_and_not_left_out(schema: dict[str, Any]) -> None:
    with pytest.raises(UnknownKeywordError):
        phrase(schema, link)


def test_no_word_of_a_description_becomes_an_element_of_html() -> None:
    assert inert("give <name> as `<name>`") == "give &lt;name> as `<name>`"


def _pages_of(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages_of(below)


def test_the_sites_navigation_leads_to_every_page_once() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    there = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(_pages_of(site["nav"])) == there
