"""Slack's incoming webhooks as its documentation has them: 200 `ok`, or a status and one word."""

from __future__ import annotations

from typing import Final

from deploywatch.fakes.routes import Asked, Route, Said, is_wrong
from deploywatch.fakes.slack import block_kit
from deploywatch.fakes.store import Inbox


def post(asked: Asked, inbox: Inbox) -> Said:
    """Take a message; what is missing or too long is refused as Slack refuses it."""
    if is_wrong(asked.path["token"]):
        return Said("no_service", 404)
    if asked.body is None:
        return Said("invalid_payload", 400)
    text, blocks = str(asked.body.get("text") or ""), block_kit.blocks_of(asked.body)
    if refusal := block_kit.bad_content(text, blocks):
        return Said(refusal, 400)
    inbox.keep("slack_webhook", thread="", **block_kit.content(asked.body, text, blocks))
    return Said("ok")


ROUTES: Final = (Route("slack_webhook", "POST", "/services/T0/B0/{token}", post),)
