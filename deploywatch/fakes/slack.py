"""Slack as its documentation has it: chat.postMessage, chat.update, and a person who presses a button."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from deploywatch.fakes.store import Inbox, Received

TEXT_LIMIT: Final = 40_000
# Slack's limit of blocks in a message.
BLOCKS_LIMIT: Final = 13_000
"""Characters of all blocks together; Slack does not say how many exactly."""
BLOCKS: Final = 50
TEXTS: Final = {"header": 150, "section": 3000, "context": 3000, "button": 75}
ELEMENTS: Final = {"context": 10, "actions": 25}
STYLES: Final = {"bold", "italic", "strike", "code"}
BUTTON_FIELDS: Final = {"action_id": 255, "value": 2000, "url": 3000}

Fields = dict[str, Any]

_TITLE_LIMIT = 300


def post_message(body: Fields | None, authorization: str, inbox: Inbox, good_token: str | None) -> Fields:
    """Answer chat.postMessage; Slack answers 200 even when it refuses: `ok` says which."""
    if body is None:
        return refused("invalid_json")
    channel, text, thread = (str(body.get(name) or "") for name in ("channel", "text", "thread_ts"))
    blocks = blocks_of(body)
    refusal = (
        bad_token(body, authorization, good_token)
        or _bad_channel(channel)
        or bad_content(text, blocks)
        or _bad_metadata(body)
    )
    if refusal:
        return refused(refusal)
    ts = inbox.next_ts()
    inbox.keep("slack", thread=thread or ts, id_=ts, **content(body, text, blocks))
    return {
        "ok": True,
        "channel": channel_id(channel),
        "ts": ts,
        "message": {"type": "message", "text": text, "ts": ts},
    }


def update(body: Fields | None, authorization: str, inbox: Inbox, good_token: str | None) -> Fields:
    """Answer chat.update, which takes a channel by its ID only."""
    if body is None:
        return refused("invalid_json")
    channel, text, ts = (str(body.get(name) or "") for name in ("channel", "text", "ts"))
    blocks, old = blocks_of(body), inbox.find("slack", ts)
    refusal = (
        bad_token(body, authorization, good_token)
        or ("channel_not_found" if channel.startswith("#") else _bad_channel(channel))
        or bad_content(text, blocks)
    )
    if refusal:
        return refused(refusal)
    if old is None or channel_id(str(old.raw["channel"])) != channel:
        return refused("message_not_found")
    # What a message bears beside its words stays when nothing is said of it.
    kept = {name: old.raw[name] for name in ("metadata", "reply_broadcast") if name in old.raw}
    inbox.change(old, **content({**kept, **body, "channel": old.raw["channel"]}, text, blocks))
    return {"ok": True, "channel": channel, "ts": ts, "text": text}


def auth_test(body: Fields | None, authorization: str, good_token: str | None) -> Fields:
    """Answer auth.test: whose token it is."""
    refusal = bad_token(body or {}, authorization, good_token)
    return refused(refusal) if refusal else {"ok": True, "team": "example", "user": "deploywatch", "bot_id": "B0123"}


def channel_id(channel: str) -> str:
    """A channel's ID; made from its name, where that is given."""
    if not channel.startswith("#"):
        return channel
    return "C" + hashlib.sha256(channel.encode()).hexdigest()[:10].upper()


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to send to the app."""

    headers: Mapping[str, str]
    body: bytes


def press(
    received: Received, action_id: str, *, secret: str, at: datetime, user: tuple[str, str] = ("U0123ANN", "ann")
) -> Request:
    """The signed request by which Slack tells that this person pressed that button; KeyError when there is none."""
    button = next((button for button in _buttons(received) if button["action_id"] == action_id), None)
    if button is None:
        raise KeyError(action_id)
    action = {key: button[key] for key in ("action_id", "type", "text", "value", "url") if key in button}
    channel = {"id": channel_id(str(received.raw["channel"])), "name": str(received.raw["channel"]).lstrip("#")}
    payload = {
        "type": "block_actions",
        "user": {"id": user[0], "username": user[1], "name": user[1], "team_id": "T0123"},
        "team": {"id": "T0123", "domain": "example"},
        "api_app_id": "A0123",
        "container": {"type": "message", "message_ts": received.id, "channel_id": channel["id"]},
        "channel": channel,
        "message": {"type": "message", "ts": received.id, "text": received.raw.get("text", "")},
        "actions": [action | {"action_ts": f"{at.timestamp():.6f}"}],
    }
    return signed(urlencode({"payload": json.dumps(payload)}).encode(), secret=secret, at=at)


def signed(body: bytes, *, secret: str, at: datetime) -> Request:
    """The request as Slack signs it."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest}",
    }
    return Request(headers, body)


def bad_token(body: Mapping[str, Any], authorization: str, good: str | None) -> str | None:
    """The error for a token that is missing, or not the good one."""
    token = authorization.removeprefix("Bearer ").strip() or str(body.get("token", ""))
    if not token:
        return "not_authed"
    return "invalid_auth" if (token != good if good else not token.startswith("xoxb-")) else None


def _bad_channel(channel: str) -> str | None:
    return None if channel.startswith(("#", "C", "D", "G")) else "channel_not_found"


def bad_content(text: str, blocks: object) -> str | None:
    if not text and not blocks:
        return "no_text"
    if len(text) > TEXT_LIMIT:
        return "msg_too_long"
    if not isinstance(blocks, list) or len(blocks) > BLOCKS or not all(map(_good_block, blocks)):
        return "invalid_blocks"
    return "msg_blocks_too_long" if sum(len(text) for text in _texts(blocks)) > BLOCKS_LIMIT else None


def _bad_metadata(body: Fields) -> str | None:
    if "metadata" not in body:
        return None
    metadata = body["metadata"]
    good = isinstance(metadata, dict) and isinstance(metadata.get("event_payload"), dict) and metadata.get("event_type")
    return None if good else "invalid_metadata_format"


def _good_block(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") not in {*TEXTS, *ELEMENTS, "divider", "rich_text"}:
        return False
    if block["type"] == "rich_text":
        return _good_rich_text(block.get("elements"))
    kind, elements = block["type"], block.get("elements")
    texts = [block.get("text")] if kind in ("header", "section") else []
    if kind in ELEMENTS:
        if not isinstance(elements, list) or not 0 < len(elements) <= ELEMENTS[kind]:
            return False
        texts = elements if kind == "context" else []
    if kind == "header" and not (isinstance(texts[0], dict) and texts[0].get("type") == "plain_text"):
        return False
    return all(_good_text(text, TEXTS[kind]) for text in texts) and (kind != "actions" or _good_buttons(elements))


def _good_rich_text(sections: Any) -> bool:
    """Sections of runs, none of them empty; a run's look is a property of its own."""
    return isinstance(sections, list) and all(
        isinstance(section, dict)
        and section.get("type") == "rich_text_section"
        and bool(section.get("elements"))
        and all(
            run.get("type") == "text" and run.get("text") and set(run.get("style", ())) <= STYLES
            for run in section["elements"]
        )
        for section in sections or [None]
    )


def _good_buttons(elements: Any) -> bool:
    ids = [element.get("action_id") for element in elements]
    return len(set(ids)) == len(ids) and all(
        element.get("type") == "button"
        and _good_text(element.get("text"), TEXTS["button"])
        and all(len(str(element.get(name, ""))) <= limit for name, limit in BUTTON_FIELDS.items())
        for element in elements
    )


def _good_text(text: Any, limit: int) -> bool:
    if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
        return False
    return 0 < len(str(text.get("text") or "")) <= limit


def blocks_of(body: Fields) -> Any:
    """The blocks, which a form has as JSON in a text."""
    blocks = body.get("blocks") or []
    try:
        return json.loads(blocks) if isinstance(blocks, str) else blocks
    except ValueError:
        return blocks


def content(body: Fields, text: str, blocks: list[Any]) -> Fields:
    """What is shown: the blocks where there are some, else the text."""
    shown = "\n".join(_texts(blocks)) or text
    raw = {name: value for name, value in body.items() if name != "token"}
    title = html.unescape((text or shown).split("\n", 1)[0])  # as Slack shows its three escapes
    return {"title": title[:_TITLE_LIMIT], "text": shown, "raw": raw}


def _texts(blocks: list[Any]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block.get("text"), dict):
            yield str(block["text"]["text"])
        elements = block.get("elements") or []
        if block["type"] == "rich_text":
            yield "".join(run["text"] for section in elements for run in section["elements"])
        elif block["type"] == "context":
            yield " ".join(str(element["text"]) for element in elements)
        elif elements:
            yield " ".join(f"[{element['text']['text']}]" for element in elements)


def _buttons(received: Received) -> Iterator[Fields]:
    for block in blocks_of(dict(received.raw)):
        if block["type"] == "actions":
            yield from block["elements"]


def refused(error: str) -> Fields:
    """The answer that refuses."""
    return {"ok": False, "error": error}
