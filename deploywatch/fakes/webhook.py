"""What receives deploywatch's own webhook: checks the signature as docs/channels/webhook.md tells others to."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from deploywatch.fakes.store import Inbox

SIGNATURE: Final = "Deploywatch-Signature"

_SIGNATURE = re.compile(r"t=(\d+)((?:,v1=[0-9a-f]{64})+)")


def receive(body: bytes, headers: Mapping[str, str], inbox: Inbox, secret: str | None) -> tuple[int, dict[str, Any]]:
    """Keep the message and answer 200; 401 when its signature is not of `secret`, or, without one, is none at all."""
    if not _signed(body, headers.get(SIGNATURE, ""), secret):
        return 401, {"error": "the signature is wrong"}
    try:
        message = json.loads(body)
        thread, title, text = (str(message[name]) for name in ("key", "title", "body"))
    except (ValueError, KeyError, TypeError):
        return 400, {"error": "the body is not a message"}
    inbox.keep("webhook", thread=thread, title=title, text=text, raw=message)
    return 200, {"status": "received"}


def _signed(body: bytes, header: str, secret: str | None) -> bool:
    match = _SIGNATURE.fullmatch(header)
    if match is None or secret is None:
        return match is not None
    digest = hmac.new(secret.encode(), f"{match[1]}.".encode() + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(digest, given) for given in match[2].split(",v1=")[1:])
