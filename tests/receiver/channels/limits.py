"""Each channel's limits, as its documentation has them, and what no message may bear; asserted on every golden."""

from __future__ import annotations

import json
from email.message import EmailMessage
from typing import Any

from deploywatch.fakes.pagerduty import LIMIT
from deploywatch.fakes.slack import methods
from deploywatch.fakes.store import Inbox
from deploywatch.receiver.channels.email.message import SUBJECT_LIMIT
from deploywatch.receiver.channels.slack import blocks as slack_blocks
from deploywatch.receiver.channels.slack.text import TEXT_LIMIT

MENTIONS = ("<!", "<@", "<#")


def check_slack(text: str, blocks: list[Any]) -> None:
    """50 blocks, 3,000 characters a section, 150 a header, about 9,000 in all, and a text to fall back to."""
    assert 0 < len(text) <= TEXT_LIMIT
    assert 0 < len(blocks) <= 50
    assert len(text) + slack_blocks.characters(blocks) <= slack_blocks.TOTAL_LIMIT
    body = {"token": "xoxb-t", "channel": "C1", "text": text, "blocks": json.loads(json.dumps(blocks))}
    assert methods.post_message(body, "", Inbox(), None)["ok"]
    # A run of rich text is shown letter by letter; a mention in one would be an element of its own.
    whole = text + json.dumps([block for block in blocks if block["type"] != "rich_text"], ensure_ascii=False)
    assert not any(mention in whole for mention in MENTIONS)
    assert "<script" not in whole


def check_pagerduty(event: dict[str, Any]) -> None:
    """512 KB, 1,024 characters of summary, 255 of key, and only web links."""
    assert len(json.dumps(event).encode()) <= LIMIT
    assert len(event.get("dedup_key", "")) <= 255
    if "payload" in event:
        assert 0 < len(event["payload"]["summary"]) <= 1024
        assert "\n" not in event["payload"]["summary"]
    assert all(link["href"].startswith(("http://", "https://")) for link in event.get("links", ()))


def check_email(mail: EmailMessage) -> None:
    """One line of subject, no header that an alert made up, lines that every server takes, and inert HTML."""
    assert not mail.defects
    assert 0 < len(mail["Subject"]) <= SUBJECT_LIMIT
    assert "\n" not in mail["Subject"]
    assert mail["Bcc"] is None
    source = mail.as_string()
    assert source.isascii()
    assert max(map(len, source.splitlines())) < 998
    page = mail.get_body(("html",))
    assert page is not None
    assert "<script" not in page.get_content()


def check_webhook(body: bytes) -> None:
    """JSON of known keys, well below what any receiver takes."""
    data = json.loads(body)
    assert data["title"]
    assert "\n" not in data["title"]
    assert len(body) < 256 * 1024
    texts = json.dumps(data)
    assert not any(escape in texts for escape in ("\\u0000", "\\u001b", "\\r", "\\u202e"))
    assert data["incident"]["url"] == "" or data["incident"]["url"].startswith("http")
    texts.encode()
    data["body"].encode()
