"""Text as Slack reads it: nothing of an alert calls anybody or formats anything."""

from __future__ import annotations

from typing import Final

from deploywatch.receiver.channels.signs import sign
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.text import uncalled

TEXT_LIMIT: Final = 1000
"""Characters of the plain text beside the blocks, which notifications and screen readers use."""
ENTITY: Final = 4
"""Characters of the longest escape, `&amp;`, less one."""


def text(message: Message, mention: str | None = None) -> str:
    """The message in short, for notifications: its title and as much of its body as fits.

    It is sent with `mrkdwn: false`, and shown where blocks are not, as by Mattermost, which looks for names in it.
    """
    head = f"{called(message, mention)}{sign(message)} {escape(uncalled(message.title), TEXT_LIMIT // 2)}"
    return f"{head}\n{escape(uncalled(message.body), TEXT_LIMIT - len(head) - 1)}".rstrip()


def escape(data: str, limit: int) -> str:
    """The data with &, < and > escaped, at most `limit` characters then, never cut inside an escape."""
    whole = data.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(whole) <= limit:
        return whole
    return f"{whole[: whole_escapes(whole, max(limit - 1, 0))].rstrip()}…"


def whole_escapes(escaped: str, at: int) -> int:
    """The place to cut at or before `at` that is inside no escape."""
    ampersand = escaped.rfind("&", max(at - ENTITY, 0), at)
    return ampersand if ampersand >= 0 and ";" not in escaped[ampersand:at] else at


def called(message: Message, mention: str | None) -> str:
    """The mention and a space; nothing where nobody must act."""
    if mention is None or not message.calls_somebody:
        return ""
    if mention in ("here", "channel"):
        return f"<!{mention}> "
    return f"<!subteam^{mention}> " if mention.startswith("S") else f"<@{mention}> "
