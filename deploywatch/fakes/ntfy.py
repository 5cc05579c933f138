"""ntfy as its documentation has it: a message published as JSON, and whether a topic may be read."""

from __future__ import annotations

from typing import Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.store import Inbox

LIMIT: Final = 4096
"""Bytes of a message; what is longer ntfy makes an attachment of."""
ACTIONS: Final = 3


def publish(asked: Asked, inbox: Inbox) -> Said:
    """Take a message for a topic."""
    if refused := _refused(asked):
        return refused
    body = asked.body or {}
    topic, text = str(body.get("topic") or ""), str(body.get("message") or "")
    if not topic:
        return Said({"code": 40009, "http": 400, "error": "invalid request: topic invalid"}, 400)
    if len(text.encode()) > LIMIT or len(body.get("actions", ())) > ACTIONS or not 1 <= body.get("priority", 3) <= 5:
        return Said({"code": 40018, "http": 400, "error": "invalid request: actions invalid"}, 400)
    raw = {name: value for name, value in body.items() if name != "topic"}
    kept = inbox.keep("ntfy", thread="", title=str(body.get("title", "")), text=text, raw=raw, id_=inbox.next_ts())
    return Said({"id": kept.id, "event": "message", "topic": topic, "message": text})


def auth(asked: Asked, _: Inbox) -> Said:
    """Say whether the topic may be read."""
    return _refused(asked) or Said({"success": True})


def _refused(asked: Asked) -> Said | None:
    authorization = asked.headers.get("Authorization")
    if authorization is not None and is_wrong(authorization.removeprefix("Bearer ")):
        return Said({"code": 40101, "http": 401, "error": "unauthorized"}, 401)
    return None


ROUTES: Final = (Route("ntfy", "POST", "/ntfy/", publish), Route("ntfy", "GET", "/ntfy/{topic}/auth", auth))
