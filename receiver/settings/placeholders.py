"""Placeholders such as `{to_version}` in commands and requests, and values that mean no more than themselves."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator

PLACEHOLDERS = frozenset({"service", "environment", "from_version", "to_version"})


_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,199}")


def check_template(command: Sequence[str], known: Collection[str] = PLACEHOLDERS) -> None:
    """ValueError when an argument has a placeholder that nobody fills in, or braces that do not close."""
    for argument in command:
        try:
            parts = [part[1:] for part in string.Formatter().parse(argument) if part[1] is not None]
        except ValueError as error:
            raise ValueError(f"{argument!r}: {error}; write {{{{ and }}}} for literal braces") from error
        # `{service!r}` and `{service:>9}` would write something else than what was checked.
        for name, spec, conversion in parts:
            if name not in known:
                raise ValueError(f"{argument!r}: unknown {{{name}}}; known: {', '.join(sorted(known))}")
            if spec or conversion:
                raise ValueError(f"{argument!r}: only {{{name}}} itself is filled in, without a format")


def check_host(url: str) -> None:
    """ValueError where a placeholder would choose the server: an alert's labels would then say who is asked."""
    if "{" in urlsplit(url).netloc:
        raise ValueError("no placeholder may stand in the host, or an alert would say which server is asked; write it")


def check_values(values: Mapping[str, str]) -> None:
    """ValueError for a value that could mean more than itself where it is put.

    A value starts with a letter, digit or underscore (so it is never read as an option) and has no spaces, quotes,
    path traversal or control characters.
    """
    for name, value in values.items():
        # Without a shell nothing is expanded; still a value may be read as an option, or as a path.
        if not _SAFE.fullmatch(value) or ".." in value:
            raise ValueError(f"{name} {value[:80]!r} has characters that are not passed to a command")


def fill(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put the values into the arguments; ValueError for one that could mean more than itself."""
    check_values(values)
    return [argument.format_map(dict(values)) for argument in command]


def texts(value: Any) -> list[str]:
    """Every text within a value of JSON."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts(part)]


def filled(value: Any, values: Mapping[str, str]) -> Any:
    """A value of JSON with the placeholders in its texts filled in."""
    if isinstance(value, str):
        return value.format_map(dict(values))
    if isinstance(value, Mapping):
        return {name: filled(part, values) for name, part in value.items()}
    return [filled(part, values) for part in value] if isinstance(value, list) else value


def _word(text: str) -> str:
    if not text or text.startswith("-") or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: write one word that does not begin with -")
    check_template([text])
    return text


Word = Annotated[str, AfterValidator(_word)]
"""A parameter of a preset: one argument, never an option; `{service}` and the like are filled in."""
