"""Telegram's bot API as its documentation has it: sendMessage, getMe, getChat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.store import Inbox

LIMIT: Final = 4096
"""Of a message, in UTF-16 code units."""


def call(asked: Asked, inbox: Inbox) -> Said:
    """Answer a method: `ok` and its result, or a code and a description."""
    if is_wrong(asked.path["token"].partition(":")[2]):
        return _refused(401, "Unauthorized")
    body, method = asked.body or {}, asked.path["method"]
    if method == "getMe":
        return Said({"ok": True, "result": {"id": 1, "is_bot": True, "username": "deploywatch_bot"}})
    chat = str(body.get("chat_id", ""))
    if not chat.lstrip("-").isdigit() and not chat.startswith("@"):
        return _refused(400, "Bad Request: chat not found")
    if method == "getChat":
        return Said({"ok": True, "result": {"id": chat, "type": "group"}})
    text = str(body.get("text") or "")
    size = len(text.encode("utf-16-le")) // 2
    if method != "sendMessage" or not text or size > LIMIT:
        return _refused(400, "Bad Request: message is too long" if text else "Bad Request: message text is empty")
    ends = [entity["offset"] + entity["length"] for entity in body.get("entities", ())]
    if any(end > size for end in ends):
        return _refused(400, "Bad Request: ENTITY_BOUNDS_INVALID")
    return _sent(body, text, inbox)


def _sent(body: Mapping[str, Any], text: str, inbox: Inbox) -> Said:
    number = len(inbox.of("telegram")) + 1
    first = str(body.get("reply_parameters", {}).get("message_id", number))
    title, _, rest = text.partition("\n")
    inbox.keep("telegram", thread=first, title=title, text=rest.strip(), raw=body, id_=str(number))
    return Said({"ok": True, "result": {"message_id": number, "text": text}})


def _refused(code: int, description: str) -> Said:
    return Said({"ok": False, "error_code": code, "description": description}, code)


ROUTES: Final = (Route("telegram", "POST", "/bot{token}/{method}", call),)
