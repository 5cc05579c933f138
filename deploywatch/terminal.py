"""What the command line prints is text: never markup, nor what a terminal obeys; all output of commands goes here."""

from __future__ import annotations

import json
import re
from typing import Any

import click

# Control characters, and the directional overrides that make a text read other than it is; right-to-left
# letters themselves stay as they are.
# C0 and C1 controls, and the marks that turn the direction of writing: an alert's text could hide a part of a command.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_RAW = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# XML 1.0 has no way to write these, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Plain text that can be encoded: one kind of line end, no control characters, no lone surrogates."""
    # A lone surrogate, which JSON may bring, would be an error at the first print.
    whole = text.encode("utf-8", "replace").decode()
    return _UNSEEN.sub("", _LINE_ENDS.sub("\n", whole)).replace("\t", " ")


def visible(text: str) -> str:
    """The text on one line; a character that nobody would see, or that a terminal obeys, is shown as U+FFFD."""
    if text.isprintable():
        return text
    whole = _LINE_ENDS.sub(" ", text.encode("utf-8", "replace").decode()).replace("\n", " ").replace("\t", " ")
    return _UNSEEN.sub("\ufffd", whole)


def brief(text: str, most: int) -> str:
    """The text on one line, of at most so many characters; the last is … where something was left out."""
    # Cut first: what is 200 kB long need not be looked at whole.
    return visible(text if len(text) <= most else f"{text[: most - 1]}…")


def escaped(text: str) -> str:
    """The text on one line; what a terminal obeys, or reads in another order, is written as Python writes it."""
    return _OBEYED.sub(lambda match: repr(match[0])[1:-1], text)


def in_xml(text: str) -> str:
    """The text with what XML cannot write replaced, as reports for CI servers need it."""
    return _UNWRITABLE.sub("\ufffd", text)


def say(text: object, *, err: bool = False, nl: bool = True, bell: bool = False) -> None:
    """Print the text without what a terminal obeys; with `bell`, one of our own."""
    click.echo(("\a" if bell else "") + clean(str(text)), err=err, nl=nl)


def as_json(value: Any) -> str:
    """JSON with letters as they are; what a terminal obeys is written as an escape, so that nothing is lost."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _RAW.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
