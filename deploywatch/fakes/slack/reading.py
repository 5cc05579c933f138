"""Reading in Slack as its documentation has it: conversations.history and conversations.replies, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploywatch.fakes.slack.block_kit import Fields
from deploywatch.fakes.slack.methods import bad_token, channel_id, refused
from deploywatch.fakes.store import Inbox, Received

LIMIT: Final = 100
MOST: Final = 999


def history(query: Mapping[str, str], authorization: str, inbox: Inbox, good_token: str | None) -> Fields:
    """Answer conversations.history: what stands in the channel, the newest first; replies only where broadcast."""
    refusal = bad_token(query, authorization, good_token) or _unknown_channel(query)
    if refusal:
        return refused(refusal)
    messages = [
        message for message in _said(query, inbox) if message.thread == message.id or message.raw.get("reply_broadcast")
    ]
    return _page(query, messages[::-1])


def replies(query: Mapping[str, str], authorization: str, inbox: Inbox, good_token: str | None) -> Fields:
    """Answer conversations.replies: the thread's first message and what followed, the oldest first."""
    refusal = bad_token(query, authorization, good_token) or _unknown_channel(query)
    if refusal:
        return refused(refusal)
    first = inbox.find("slack", query.get("ts", ""))
    if first is None or channel_id(str(first.raw["channel"])) != query["channel"]:
        return refused("thread_not_found")
    followed = [message for message in _said(query, inbox) if message.thread == first.id and message is not first]
    return _page(query, [first, *followed])


def _unknown_channel(query: Mapping[str, str]) -> str | None:
    """What reads takes a channel by its ID only."""
    return None if query.get("channel", "").startswith(("C", "D", "G")) else "channel_not_found"


def _said(query: Mapping[str, str], inbox: Inbox) -> list[Received]:
    oldest, latest = float(query.get("oldest") or 0), float(query.get("latest") or "inf")
    return [
        message
        for message in inbox.of("slack")
        if channel_id(str(message.raw["channel"])) == query["channel"] and oldest < float(message.id) < latest
    ]


def _page(query: Mapping[str, str], messages: list[Received]) -> Fields:
    limit, begin = min(int(query.get("limit") or LIMIT), MOST), int(query.get("cursor") or 0)
    with_metadata = query.get("include_all_metadata") in ("1", "true", "True")
    more = begin + limit < len(messages)
    return {
        "ok": True,
        "messages": [_message(message, with_metadata=with_metadata) for message in messages[begin : begin + limit]],
        "has_more": more,
        "response_metadata": {"next_cursor": str(begin + limit) if more else ""},
    }


def _message(message: Received, *, with_metadata: bool) -> Fields:
    shown: dict[str, Any] = {
        "type": "message",
        "text": message.raw.get("text", ""),
        "ts": message.id,
        "thread_ts": message.thread,
    }
    if with_metadata and "metadata" in message.raw:
        shown["metadata"] = message.raw["metadata"]
    return shown
