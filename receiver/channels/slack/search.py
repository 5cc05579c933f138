"""Finds a message of ours in Slack again: each bears its name in its metadata, which history and replies show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from deploywatch.receiver.messages import Message

EVENT_TYPE: Final = "deploywatch_message"
# With 200 messages each: what was sent before a crash is among the last thousand of a channel.
PAGES: Final = 5
PAGE_SIZE: Final = 200
CLOCKS_APART: Final = timedelta(minutes=10)
"""By how much Slack's clock may differ from ours."""

_ID: Final = re.compile(r"[CDG][A-Z0-9]{5,}")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of what was said: the ts of the message, if it is there, and where the next page begins, if any."""

    ts: str | None
    cursor: str


def is_id(channel: str) -> bool:
    """Whether it is a channel's ID, such as C0123456789; Slack takes a name for posting only."""
    return _ID.fullmatch(channel) is not None


def metadata(message: Message) -> dict[str, Any]:
    """What the message bears; people do not see it."""
    return {"event_type": EVENT_TYPE, "event_payload": {"id": message.id}}


def where(channel: str, message: Message, cursor: str) -> dict[str, Any]:
    """Where to look: since it happened."""
    oldest = {"oldest": f"{(message.at - CLOCKS_APART).timestamp():.6f}"} if message.at else {}
    more = {"cursor": cursor} if cursor else {}
    return {"channel": channel, "include_all_metadata": True, "limit": PAGE_SIZE, **oldest, **more}


def read(answer: Mapping[str, Any], message: Message) -> Page:
    """What a page says; what is not as documented is not there."""
    # By the metadata alone: a text can be written by anybody in the channel.
    matches, more = answer.get("messages"), answer.get("response_metadata")
    wanted = metadata(message)
    for item in matches if isinstance(matches, list) else []:
        if isinstance(item, dict) and item.get("metadata") == wanted and isinstance(item.get("ts"), str):
            return Page(item["ts"], "")
    cursor = more.get("next_cursor") if isinstance(more, dict) else None
    return Page(None, cursor if isinstance(cursor, str) else "")
