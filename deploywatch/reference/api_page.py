"""Writes the page of reference on the receiver's HTTP API from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from deploywatch import json_text
from deploywatch.files.editor_schema import Schema
from deploywatch.reference.phrases import UnknownKeywordError, cell, inert, phrase
from deploywatch.reference.schema_page import has_section, linker, object_section

_HEAD = """# The HTTP API

Every route of the receiver's API, as [openapi.json](../openapi.json) describes it; programs should read that file.
This page is made by `python -m deploywatch.reference`; a test holds it. [Scopes](../scopes.md) say which
credential may use a route.
"""
_OPERATION = {"operationId", "summary", "tags", "parameters", "responses", "requestBody"}


def page(document: Path) -> str:
    """The page as Markdown; UnknownKeywordError when a part of the document cannot be said."""
    api = json_text.parse(document.read_bytes())
    link = linker(api["components"]["schemas"])
    about = f"{inert(api['info']['description'])}\n"
    return "\n".join((_HEAD, about, *_routes(api, link), *_responses(api), *_schemas(link))) + "\n"


def _routes(api: Schema, link: linker) -> Iterator[str]:
    operations = [
        (route, method, operation) for route, methods in api["paths"].items() for method, operation in methods.items()
    ]
    by_tag = sorted(operations, key=lambda operation: operation[2]["tags"])
    for tags, group in groupby(by_tag, key=lambda operation: operation[2]["tags"]):
        yield f"## {' '.join(tags).capitalize()}\n"
        for route, method, operation in group:
            if unknown := operation.keys() - _OPERATION:
                raise UnknownKeywordError(f"say in reference/api_page.py what {', '.join(sorted(unknown))} means")
            yield f"### {method.upper()} {route}\n"
            yield f"{inert(operation['summary'])}\n"
            yield from _parameters(operation, link)
            yield from _bodies(operation, link)


def _parameters(operation: Schema, link: linker) -> Iterator[str]:
    if not operation["parameters"]:
        return
    yield "| parameter | in | what | |\n| --- | --- | --- | --- |"
    for parameter in operation["parameters"]:
        needed = "required" if parameter.get("required") else ""
        about = cell("; ".join(filter(None, (needed, inert(parameter.get("description", ""))))))
        yield f"| `{parameter['name']}` | {parameter['in']} | {cell(phrase(parameter['schema'], link))} | {about} |"
    yield ""


def _bodies(operation: Schema, link: linker) -> Iterator[str]:
    if body := operation.get("requestBody"):
        optional = "" if body.get("required") else ", which may be left out"
        yield f"Takes {_content(body['content'], link)}{optional}.\n"
    parts = []
    for status, response in operation["responses"].items():
        if "$ref" in response:
            parts.append(f"{status} [{(name := response['$ref'].rsplit('/', 1)[1]).lower()}](#{name.lower()})")
        else:
            content = f", {_content(response['content'], link)}" if "content" in response else ""
            parts.append(f"{status} ({inert(response['description'].rstrip('.'))}{content})")
    yield f"Answers {', '.join(parts)}.\n"


def _content(content: dict[str, Any], link: linker) -> str:
    phrases = (
        phrase(media["schema"], link) if kind == "application/json" else f"`{kind}`" for kind, media in content.items()
    )
    return " or ".join(phrases)


def _responses(api: Schema) -> Iterator[str]:
    for name, response in api["components"]["responses"].items():
        yield f"## {name}\n\n{inert(response['description'])} It comes as {', '.join(response['content'])}.\n"


def _schemas(link: linker) -> Iterator[str]:
    for name, part in link.definitions.items():
        if has_section(part):
            yield f"## {link.headings[name]}\n"
            yield from object_section(part, link)
