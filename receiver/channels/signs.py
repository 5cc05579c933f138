"""How bad it is, at a glance: a sign and a colour for each severity, green once the incident is over."""

from __future__ import annotations

from typing import Final

from deploywatch.receiver.messages import Message
from deploywatch.receiver.story import Event

SIGNS: Final = {"critical": "🔴", "high": "🟠", "medium": "🟡"}
RESOLVED_SIGN: Final = "🟢"
OTHER_SIGN: Final = "🔵"
COLORS: Final = {"critical": 0xC62828, "high": 0xEF6C00, "medium": 0xF9A825}
RESOLVED_COLOR: Final = 0x2E7D32
OTHER_COLOR: Final = 0x1565C0


def is_over(message: Message) -> bool:
    """Whether the message tells of an end."""
    return message.event is Event.RESOLVED or message.incident.resolved_at is not None


def sign(message: Message) -> str:
    """The sign before a title."""
    return RESOLVED_SIGN if is_over(message) else SIGNS.get(message.incident.severity, OTHER_SIGN)


def color(message: Message) -> int:
    """The colour as 0xRRGGBB."""
    return RESOLVED_COLOR if is_over(message) else COLORS.get(message.incident.severity, OTHER_COLOR)
