"""What Slack takes of Block Kit, and what it refuses as invalid_blocks."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any, Final

from deploywatch.fakes.store import Received

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


def bad_content(text: str, blocks: object) -> str | None:
    if not text and not blocks:
        return "no_text"
    if len(text) > TEXT_LIMIT:
        return "msg_too_long"
    if not isinstance(blocks, list) or len(blocks) > BLOCKS or not all(map(_good_block, blocks)):
        return "invalid_blocks"
    return "msg_blocks_too_long" if sum(len(text) for text in _texts(blocks)) > BLOCKS_LIMIT else None


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
    # Slack shows the blocks where there are some, and the text in notifications.
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


def buttons(received: Received) -> Iterator[Fields]:
    for block in blocks_of(dict(received.raw)):
        if block["type"] == "actions":
            yield from block["elements"]
