"""The cleaning and cutting that every text goes through."""

from __future__ import annotations

import re

from deploywatch import terminal

_CALLS = re.compile(r"(?<!\w)@(?=[\w&])|(?<=<)!(?=\w)|(?<![\w/<>:.])/(?=\w)|(?<!\w)[#$](?=\w)")
"""Where chat services find whom to call, a command, or a tag."""


def clean(text: str) -> str:
    """Plain text that every channel can encode: one kind of line end, no control characters, no lone surrogates."""
    return terminal.clean(text)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them … where something was left out."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def uncalled(text: str) -> str:
    """The text with a word joiner after each @, !, /, # and $ that a chat would make a call, command or tag of."""
    return _CALLS.sub("\\g<0>\u2060", text)


def line(text: object, limit: int = 300) -> str:
    """The text on one line, of at most `limit` characters."""
    return cut(" ".join(clean(str(text)).split()), limit)
