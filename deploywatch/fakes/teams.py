"""A workflow of Microsoft Teams' that posts what its webhook is given: 202, before it is posted."""

from __future__ import annotations

import json
from typing import Any, Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.store import Inbox

LIMIT: Final = 28 * 1024
"""Bytes of a message."""
CARD: Final = "application/vnd.microsoft.card.adaptive"
ELEMENTS: Final = {"RichTextBlock", "TextBlock", "Container", "FactSet"}


def post(asked: Asked, inbox: Inbox) -> Said:
    """Take a card; the answer knows nothing of how posting went."""
    if is_wrong(asked.query.get("sig", "")):
        code = "DirectApiAuthorizationRequired"
        return Said({"error": {"code": code, "message": "The request must be authenticated by a SAS token."}}, 401)
    body = asked.body or {}
    attachments = body.get("attachments") or []
    if len(json.dumps(body)) > LIMIT:
        return Said({"error": {"code": "RequestEntityTooLarge", "message": "Request Entity too large"}}, 413)
    if body.get("type") != "message" or len(attachments) != 1 or not _good(attachments[0]):
        return Said({"error": {"code": "InvalidRequestContent", "message": "The request content is not valid."}}, 400)
    card = attachments[0]["content"]
    texts = [text for element in card["body"] for text in _texts(element)]
    inbox.keep("teams", thread="", title=texts[0], text="\n".join(texts[1:]), raw=card)
    return Said("", 202)


def _good(attachment: dict[str, Any]) -> bool:
    card = attachment.get("content") or {}
    return (
        attachment.get("contentType") == CARD
        and card.get("type") == "AdaptiveCard"
        and bool(card.get("body"))
        and all(element.get("type") in ELEMENTS for element in card["body"])
        and all(action.get("type") == "Action.OpenUrl" and action.get("url") for action in card.get("actions", ()))
    )


def _texts(element: dict[str, Any]) -> list[str]:
    if element["type"] == "Container":
        return [text for item in element["items"] for text in _texts(item)]
    return ["".join(run["text"] for run in element["inlines"])]


ROUTES: Final = (Route("teams", "POST", "/workflows/{id}/triggers/manual/paths/invoke", post),)
