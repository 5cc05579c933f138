"""Values that go from one answer into the next request: saved from JSON, a header or a text, and put in by `{name}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from deploywatch.config import Settings
from deploywatch.exporter.net.http.header_fields import HeaderName
from deploywatch.exporter.net.http.judging import body
from deploywatch.exporter.net.http.judging.assertions import find
from deploywatch.exporter.net.http.reading.response import Response
from deploywatch.exporter.net.pattern import Pattern, search
from deploywatch.exporter.results import Failed, Reason
from deploywatch.secrets import MASK

_REFERENCE = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name; use letters, digits and _, such as token")
    return text


ValueName = Annotated[str, AfterValidator(_name)]
"""A name that a config gives to a value."""


class Save(Settings):
    """Where in an answer a value is: at a path of its JSON, in a header, or what an expression's first group captures.

    With a header and an expression, this is searched in that header, else in the body.
    """

    json_path: str | None = Field(default=None, alias="json", min_length=1)
    header: HeaderName | None = None
    regex: Pattern | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.json_path is not None) is (self.header is not None or self.regex is not None):
            raise ValueError("give it either json, or header, regex or both of these")
        return self

    async def read(self, response: Response) -> str:
        """The value; Failed(value) when there is none, and never with what is there instead."""
        if self.json_path is not None:
            matches = find(body.parse(response.body), self.json_path)
            if isinstance(matches, (dict, list)) or matches is None or matches == "":
                raise Failed(Reason.VALUE, f"the body has no text or number at {self.json_path}")
            return matches if isinstance(matches, str) else json.dumps(matches)
        text = response.body
        if self.header is not None:
            value = response.headers.get(self.header.lower())
            if value is None:
                raise Failed(Reason.VALUE, f"there is no header {self.header}")
            text = value.encode("utf-8", "surrogateescape")
        if self.regex is None:
            return text.decode("utf-8", "replace" if self.header is None else "surrogateescape")
        match = await search(self.regex, text)
        if match is None:
            raise Failed(Reason.VALUE, f"nothing matches {self.regex!r}")
        # groups[0] is all that matched.
        return match.groups[1] if len(match.groups) > 1 else match.groups[0]


def names(template: str) -> set[str]:
    """The names of the values that a text needs."""
    return {match["name"] for match in _REFERENCE.finditer(template) if match["name"]}


def fill(template: str, values: Mapping[str, str], write: Callable[[str], str] = str) -> str:
    """The text with its values, each written by `write`; `{{name}}` stands for `{name}` itself."""

    def put(match: re.Match[str]) -> str:
        return write(values[match["name"]]) if match["name"] else f"{{{match['literal']}}}"

    return _REFERENCE.sub(put, template)


def fill_url(template: str, values: Mapping[str, str]) -> str:
    """The URL with its values, quoted, except one that the URL begins with: that is a URL itself."""
    match = _REFERENCE.match(template)
    # A URL that begins with a value is that value's own, scheme and all; quoted, it would be none.
    if match and match["name"]:
        return values[match["name"]] + fill(template[match.end() :], values, _quoted)
    return fill(template, values, _quoted)


def fill_header(template: str, values: Mapping[str, str]) -> str:
    """The header's value; Failed(value) when it would be several lines."""
    text = fill(template, values)
    # A line end in a header would begin another header of the answering server's choice.
    if re.search(r"[\r\n\0]", text):
        raise Failed(Reason.VALUE, "a value that goes into a header has several lines")
    return text


def fill_body(template: str, values: Mapping[str, str]) -> str:
    """The body; in one that looks like JSON, the values are written as in a JSON text."""
    # In a text of JSON a value is put so that quotes and line ends in it stay within its string.
    looks_like_json = template.lstrip().startswith(("{", "["))
    return fill(template, values, _in_json if looks_like_json else str)


def masked(text: str, values: Iterable[str]) -> str:
    """The text without these values, the longest first; so too as they stand in URLs and JSON."""
    forms = {
        form
        for value in values
        for form in (value, _quoted(value), _in_json(value), json.dumps(value, ensure_ascii=False)[1:-1])
        if form
    }
    # The longest first: a shorter form within it would leave the rest of the secret standing.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="surrogateescape")


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]
