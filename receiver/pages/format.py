"""How times and links look on the pages."""

from __future__ import annotations

from datetime import datetime

from deploywatch import html
from deploywatch.html import Text
from deploywatch.receiver.rendering.filters import web_link


def moment(iso: str | None) -> str:
    """A time of the API's, in UTC as every page says: `2026-11-21 03:02:01`; nothing where there is none."""
    return datetime.fromisoformat(iso).isoformat(" ", "seconds").removesuffix("+00:00") if iso else ""


def outward(url: str, text: str) -> Text:
    """A link to where an annotation leads, which anybody may have written; nothing for what is no web address."""
    safe = web_link(url)
    return html.element("a", text, href=safe, rel="noreferrer") if safe else ""
