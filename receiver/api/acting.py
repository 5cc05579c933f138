"""Who acts through the API: the name that the server verified wins over the one that was sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, TypeVar
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel

from deploywatch.access.webconfig import USER
from deploywatch.receiver.actions.rollback.approvers import Answerer
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.rendering.lookalikes import reads_as
from deploywatch.receiver.rendering.text import line

B = TypeVar("B", bound=BaseModel)

_NAME_LIMIT = 200
_LIKE_VERIFIED: Final = re.compile(r" for |\((?:slack|pagerduty|signed link)\b", re.IGNORECASE)
"""As `ann for bob`, `ann (Slack U123)`, `Ann Lee (PagerDuty PABC123)` and `ann (signed link)` are written by us."""
NAME_COOKIE = "deploywatch-name"
"""Keeps the name that somebody wrote into a form, so that they write it once a browser."""


def acting(request: web.Request, claimed: str) -> str:
    """The name to write down: `ann`, or `ann for bob` when Ann's credential came with Bob's name.

    400 for a name that has nothing to read, that is ours, or that looks like one that we have verified: what
    deploywatch did by itself, and what it knows by itself, must be told apart.
    """
    name = line(claimed, _NAME_LIMIT)
    if not name:
        raise web.HTTPBadRequest(text="$.by: write a name that can be read\n")
    refuse_ours(name, "by")
    verified = request.get(USER, "")
    # Before the look below: whoever is called "Ann (Slack)" in the directory is verified to be so.
    if verified == name:
        return name
    # NFKC first: wide and decorated letters read the same to people.
    if _LIKE_VERIFIED.search(unicodedata.normalize("NFKC", name)):
        raise web.HTTPBadRequest(text="$.by: it is written like a name that was verified; write who you are\n")
    return f"{verified} for {name}" if verified else name


def refuse_ours(name: str, field: str) -> None:
    """400 for our own name, in letters that read like it."""
    for fault in ours(name, field):
        raise web.HTTPBadRequest(text=f"{fault}\n")


def ours(name: str, field: str) -> Iterator[str]:
    """The fault of a field that bears our own name, in letters that read like it."""
    if reads_as(name, SYSTEM):
        yield f"$.{field}: {SYSTEM} is what it does by itself; write who you are"


def name_of(request: web.Request) -> str:
    """What whoever asks is called: as the server verified it, else as they said before, which proves nothing."""
    return request.get(USER, "") or line(unquote(request.cookies.get(NAME_COOKIE, "")), _NAME_LIMIT)


def acted_by(request: web.Request, sent: B) -> B:
    """What was sent, with the name to write down where it says `by` whom."""
    claimed = getattr(sent, "by", None)
    return sent.model_copy(update={"by": acting(request, claimed)}) if isinstance(claimed, str) else sent


def answerer(request: web.Request) -> Answerer:
    """Who answers, as far as the server has verified it."""
    verified = request.get(USER, "")
    return Answerer(frozenset({verified} if verified else ()))
