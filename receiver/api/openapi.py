"""The OpenAPI 3.1 document of the API, made of its routes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from deploywatch import __version__
from deploywatch.access.scopes import Scope
from deploywatch.receiver.api.routing import PREFIX, Route

PATH = "/openapi.json"

_REF = "#/components/schemas/{model}"
_NUMBER = {"type": "integer", "minimum": 1}
_WORD = {"type": "string"}
# Parameters of queries that are more than a word.
_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "status": {"type": "string", "enum": ["open"]},
    "incident": _NUMBER,
    "at": {"type": "string", "format": "date-time"},
}
_ERRORS = {
    "400": ("Wrong", "What was sent cannot be right; every fault is told."),
    "401": ("Unknown", "Credentials are missing or wrong."),
    "404": ("Missing", "Nothing has this number."),
    "503": ("Unavailable", "The store cannot be reached just now; try again."),
    "default": ("Refused", "Any other refusal."),
}
_ABOUT = (
    "Incidents, deployments, maintenance and people of one receiver. Errors are plain text that says what is wrong; "
    "of a body every fault is told, each with its JSON path."
)

Key = tuple[str, str]
"""Which route, and whether its body or its answer."""


class Documented:
    """Serves the document of all routes, its own among them."""

    def __init__(self, others: Sequence[Route]) -> None:
        own = Route("GET", PATH, Scope.READ, self.openapi, answer=dict[str, Any])
        self.routes = (*others, own)

    @cached_property
    def _text(self) -> str:
        # A tenth of a second, which no start needs to wait for: few ask for the document.
        return text(self.routes)

    async def openapi(self, _: web.Request) -> web.Response:
        """This document."""
        return web.Response(text=self._text, content_type="application/json")


def text(routes: Iterable[Route]) -> str:
    """The document as JSON, as it is committed."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document as a value."""
    routes = sorted(routes, key=lambda route: (route.path, route.method))
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "deploywatch receiver", "version": __version__, "description": _ABOUT},
        "security": [{}, {"basic": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {name: _error(what) for name, what in _ERRORS.values()},
            "securitySchemes": {name: {"type": "http", "scheme": name} for name in ("basic", "bearer")},
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[Key, dict[str, Any]], dict[str, Any]]:
    """The schema of each body and answer, and what they share by name."""
    wanted: list[tuple[Key, Any, TypeAdapter[Any]]] = []
    for route in routes:
        name = f"{route.method} {route.path}"
        if route.body is not None:
            wanted.append(((name, "body"), "validation", TypeAdapter(route.body)))
        if route.answer is not None:
            wanted.append(((name, "answer"), "serialization", TypeAdapter(route.answer)))
    schemas, shared = TypeAdapter.json_schemas(wanted, ref_template=_REF)
    return {key: schema for (key, _), schema in schemas.items()}, shared.get("$defs", {})


def _operation(route: Route, schemas: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    name, about = f"{route.method} {route.path}", inspect.getdoc(route.handler) or ""
    numbered = "{id}" in route.path
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": about.partition("\n")[0],
        "tags": [route.path.split("/")[1].removesuffix(".json")],
        "parameters": [
            *([{"name": "id", "in": "path", "required": True, "schema": _NUMBER}] if numbered else []),
            *({"name": parameter, "in": "query", "schema": _QUERY.get(parameter, _WORD)} for parameter in route.query),
        ],
        "responses": _responses(route, schemas.get((name, "answer"), {})),
    }
    if route.body is not None:
        content = {"application/json": {"schema": schemas[name, "body"]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(route: Route, answer: dict[str, Any]) -> dict[str, Any]:
    # What was found is shown as what it is, which may be anything.
    schema = {"application/json": answer, "*/*": {}}.get(route.media, _WORD)
    good = {"description": "As asked.", "content": {route.media: {"schema": schema}}}
    names = ["401", *(["404"] if "{id}" in route.path else []), "503", "default"]
    if route.body is not None or route.query:
        names.insert(0, "400")
    known = {"200": good} if route.may_be_known else {}
    return {**known, str(route.status): good, **{name: _refusal(route, name) for name in names}}


def _refusal(route: Route, name: str) -> dict[str, Any]:
    """What a refusal looks like; a page's is a page, too."""
    component, what = _ERRORS[name]
    if route.media == "text/html":
        return _error(what, "text/plain", "text/html")
    return {"$ref": f"#/components/responses/{component}"}


def _error(what: str, *media: str) -> dict[str, Any]:
    return {"description": what, "content": {kind: {"schema": _WORD} for kind in media or ("text/plain",)}}


def _operation_id(route: Route) -> str:
    words = re.findall("[a-z]+", f"{route.method.lower()} {route.path.replace('{id}', 'one')}")
    return "_".join(words)
