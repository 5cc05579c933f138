"""Who acts through the API: the name that the server verified wins over the one that was sent."""

from __future__ import annotations

import unicodedata
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel

from deploywatch.access.webconfig import USER
from deploywatch.receiver.actions.rollback.approvers import Answerer
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.rendering.filters import line

B = TypeVar("B", bound=BaseModel)

_NAME_LIMIT = 200
NAME_COOKIE = "deploywatch-name"
"""Keeps the name that somebody wrote into a form, so that they write it once a browser."""


def acting(request: web.Request, claimed: str) -> str:
    """The name to write down: `ann`, or `ann for bob` when Ann's credential came with Bob's name.

    400 for a name that has nothing to read, or is ours: what deploywatch did by itself must be told apart.
    """
    name = line(claimed, _NAME_LIMIT)
    if not name:
        raise web.HTTPBadRequest(text="$.by: write a name that can be read\n")
    if _folded(name) == SYSTEM:
        raise web.HTTPBadRequest(text=f"$.by: {SYSTEM} is what it does by itself; write who you are\n")
    verified = request.get(USER, "")
    if not verified or verified == name:
        return name
    return f"{verified} for {name}"


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


def _folded(name: str) -> str:
    """The name as it reads, whatever letters look alike by width or case, and without what is not seen."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] != "C").strip()
