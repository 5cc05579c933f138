"""The links of a message, where a service takes only so many of them: none is lost in silence."""

from __future__ import annotations

from deploywatch.receiver.messages import Message


def as_text(message: Message, *, after: int = 0) -> str:
    """The links from the one numbered `after` on, a line each; an empty text where there are none."""
    return "\n".join(f"{name}: {url}" for name, url in message.links[after:])


def whole(message: Message, limit: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """As many links as have at most `limit` characters together, and how many are left out."""
    shown, size = [], 0
    for name, url in message.links:
        size += len(name) + len(url) + len("[](<>)\n")
        if size > limit:
            break
        shown.append((name, url))
    return tuple(shown), len(message.links) - len(shown)
