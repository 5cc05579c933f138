"""Microsoft Teams: an Adaptive Card a message, by a workflow's webhook."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from deploywatch.receiver.channels import errors, signs
from deploywatch.receiver.channels.http_client import Answer, HttpClient
from deploywatch.receiver.channels.links import as_text
from deploywatch.receiver.messages import DeliveryError, Message
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.settings.channels.teams import TeamsSettings
from deploywatch.receiver.story import Event

LIMIT: Final = 28 * 1024
"""Bytes of a message; Teams takes no more."""
VERSION: Final = "1.4"
"""Of the card: what Teams shows on every device."""
# Teams shows six actions of a card, and hides the others.
ACTIONS: Final = 6
STYLES: Final = {"critical": "attention", "high": "warning", "medium": "warning"}

_LABEL = re.compile(r"^([A-Z][A-Za-z ]{1,24}:)(?= )")
_LEGACY_STATUS = re.compile(r"HTTP error (\d{3})")


class TeamsChannel:
    """Posts a card a message; a workflow answers 202 before it posts, so that what fails later shows in its runs."""

    def __init__(self, name: str, settings: TeamsSettings) -> None:
        self.name = name
        self._settings = settings
        self._client = HttpClient(settings.url.get_secret_value(), settings.timeout, (settings.url,))

    def wants(self, event: Event) -> bool:
        """Every event is told."""
        return True

    async def send(self, message: Message, reference: str | None) -> str | None:
        """Post the card. Raises DeliveryError."""
        answer = await self._client.ask("POST", self._settings.url.get_secret_value(), payload(message))
        if not answer.is_good:
            raise failure(answer)
        if answer.is_page:
            raise errors.foreign("a workflow's")
        # The connectors that workflows took the place of say 200 to what they could not post.
        if "delivery failed" in answer.text.lower():
            status = _LEGACY_STATUS.search(answer.text)
            raise errors.from_status(int(status[1]) if status else 500, answer.text)
        return reference

    async def find(self, message: Message, reference: str | None) -> str | None:
        """Nobody can be asked. Raises DeliveryError."""
        raise errors.unknowable("a workflow of Teams' cannot be asked what arrived")

    async def check(self) -> str:
        """A workflow runs at each request, so nothing can be tried without posting. Raises DeliveryError."""
        raise errors.unknowable("a workflow of Teams' runs at each request: it cannot be tried without a message")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def failure(answer: Answer) -> DeliveryError:
    """What an answer that is no success means: a workflow that is gone, or turned off, says 404 or 400."""
    error = answer.fields.get("error")
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    reason = str(error.get("message", "")) if isinstance(error, dict) else answer.text
    if answer.status in (404, 410) or code in {"WorkflowNotFound", "WorkflowTriggerIsNotEnabled"}:
        detail = f"HTTP {answer.status}: {code or 'no such workflow'}; turn the workflow on, or make a new one"
        return DeliveryError("credentials", detail, again=False)
    return answer.refusal(f"{code}: {reason}" if code else reason)


def payload(message: Message) -> dict[str, Any]:
    """The card in the envelope that a workflow expects, cut until it keeps to the limit."""
    body = message.body
    while True:
        whole = {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card(message, body)}],
        }
        if len(json.dumps(whole)) <= LIMIT or not body:
            return whole
        body = cut(body, len(body) * 3 // 4)


def card(message: Message, body: str) -> dict[str, Any]:
    """The card: title, text and links. Its text stands in text runs, which know neither Markdown nor mentions."""
    title = _run(f"{signs.sign(message)} {line(message.title, 200)}", size="large", weight="bolder")
    style = "good" if signs.is_over(message) else STYLES.get(message.incident.severity, "accent")
    lines = [*body.split("\n"), *as_text(message, after=ACTIONS).split("\n")]
    blocks = [{"type": "RichTextBlock", "inlines": _line(text)} for text in lines if text.strip()]
    made: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": VERSION,
        "msteams": {"width": "Full"},
        "body": [
            {
                "type": "Container",
                "style": style,
                "bleed": True,
                "items": [{"type": "RichTextBlock", "inlines": [title]}],
            },
            *blocks,
        ],
    }
    if message.links:
        links = message.links[:ACTIONS]
        made["actions"] = [{"type": "Action.OpenUrl", "title": line(name, 60), "url": url} for name, url in links]
    return made


def _line(text: str) -> list[dict[str, Any]]:
    label = _LABEL.match(text)
    if label is None:
        return [_run(text)]
    return [_run(label[1], weight="bolder"), _run(text[label.end() :])]


def _run(text: str, **looks: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **looks}
