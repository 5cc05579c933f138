"""Slack as its documentation has it: chat.postMessage, chat.update, and a person who presses a button."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from deploywatch.fakes.slack.block_kit import Fields, bad_content, blocks_of, buttons, content
from deploywatch.fakes.store import Inbox, Received


def post_message(body: Fields | None, authorization: str, inbox: Inbox, good_token: str | None) -> Fields:
    """Answer chat.postMessage; Slack answers 200 even when it refuses: `ok` says which."""
    if body is None:
        return refused("invalid_json")
    channel, text, thread = (str(body.get(name) or "") for name in ("channel", "text", "thread_ts"))
    blocks = blocks_of(body)
    refusal = bad_token(body, authorization, good_token) or _bad_channel(channel) or bad_content(text, blocks)
    if refusal := refusal or _bad_metadata(body):
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
    # As Slack: a message is found in its own channel only.
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
    button = next((button for button in buttons(received) if button["action_id"] == action_id), None)
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


def _bad_metadata(body: Fields) -> str | None:
    if "metadata" not in body:
        return None
    metadata = body["metadata"]
    good = isinstance(metadata, dict) and isinstance(metadata.get("event_payload"), dict) and metadata.get("event_type")
    return None if good else "invalid_metadata_format"


def refused(error: str) -> Fields:
    """The answer that refuses."""
    return {"ok": False, "error": error}
