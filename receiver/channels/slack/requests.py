"""Presses of buttons in Slack: verify that Slack signed the request, and say who wants what of which incident."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from deploywatch import json_text
from deploywatch.errors import DeploywatchError
from deploywatch.receiver.rendering.text import line
from deploywatch.secrets import Masked

WINDOW: Final = timedelta(minutes=5)
"""How far a request's time may be from ours, as Slack's documentation asks for; older ones may be replayed."""
BODY_LIMIT: Final = 1024 * 1024
"""Bytes; a payload bears the whole message that has the button, far less than this."""
NAME_LIMIT: Final = 100

_VALUE = re.compile(r"([1-9]\d{0,17})(?:/(\d{1,10}))?")

Reason = Literal["unsigned", "stale", "forged", "malformed"]


class Action(StrEnum):
    """What a button asks for; also its action_id."""

    ACKNOWLEDGE = "acknowledge"
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Interaction:
    """A person wants something of an incident.

    `expires` says which approval an approve or reject is about: the one that ends then, not a later one. `user_id`
    names the person surely within the workspace; `who` is what to write on a timeline.
    """

    action: Action
    incident: int
    user_id: str
    user_name: str
    expires: datetime | None = None

    @property
    def who(self) -> str:
        """`ann (Slack U123)`."""
        return f"{self.user_name} (Slack {self.user_id})" if self.user_name else f"Slack {self.user_id}"


class SlackRequestError(DeploywatchError):
    """The request is not Slack's, or not one that is understood; `reason` is a bounded word for metrics.

    Answer `malformed` with 400 and the rest with 401.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[Masked], now: datetime) -> None:
    """Raise SlackRequestError unless one of the signing secrets signed these very bytes within the window."""
    named = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = named.get("x-slack-request-timestamp", ""), named.get("x-slack-signature", "")
    if not secrets:
        raise SlackRequestError("unsigned", "no signing secret is configured")
    if not timestamp or not signature:
        raise SlackRequestError("unsigned", "the request bears no signature")
    # Not int() at once: it takes spaces, signs, underscores and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise SlackRequestError("unsigned", "X-Slack-Request-Timestamp is no time")
    if abs(now.timestamp() - int(timestamp)) > WINDOW.total_seconds():
        raise SlackRequestError("stale", "the request is too old, or a clock is wrong")
    given = signature.encode("utf-8", "replace")
    # Every secret is tried, so that the time taken does not say which one is right.
    matches = [hmac.compare_digest(sign(secret, timestamp, body).encode(), given) for secret in secrets]
    if not any(matches):
        raise SlackRequestError("forged", "the signature is not of a secret that is configured")


def sign(secret: Masked, timestamp: str, body: bytes) -> str:
    """Slack's signature, version 0."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()


def parse(body: bytes) -> Interaction | None:
    """What a verified request asks for; None when it asks for nothing of ours, as the press of a link does.

    Raises SlackRequestError for what is no interaction payload.
    """
    payload = _payload(body)
    if payload.get("type") != "block_actions":
        return None
    actions, user = payload.get("actions"), payload.get("user")
    if not isinstance(actions, list) or not actions or not isinstance(actions[0], dict) or not isinstance(user, dict):
        raise SlackRequestError("malformed", "the payload bears no action or no user")
    pressed = actions[0]
    asked = str(pressed.get("action_id"))
    # A link button is reported as pressed too, and so are buttons of versions to come.
    if asked not in set(Action):
        return None
    carried = _VALUE.fullmatch(str(pressed.get("value") or ""))
    user_id = str(user.get("id") or "")
    if carried is None or not re.fullmatch(r"[A-Z0-9]{1,30}", user_id):
        raise SlackRequestError("malformed", "the button bears no incident's number, or the user no ID")
    return Interaction(
        action=Action(asked),
        incident=int(carried[1]),
        user_id=user_id,
        user_name=line(user.get("username") or user.get("name") or "", NAME_LIMIT),
        expires=datetime.fromtimestamp(int(carried[2]), UTC) if carried[2] else None,
    )


def value(incident: int, expires: datetime | None = None) -> str:
    """What a button carries: the incident's number, and the end of the approval that it decides."""
    return f"{incident}/{int(expires.timestamp())}" if expires else str(incident)


def _payload(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_LIMIT:
        raise SlackRequestError("malformed", f"the request is larger than {BODY_LIMIT} bytes")
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=100)
        payload = json_text.parse(fields["payload"][0])
    except (ValueError, KeyError) as error:
        raise SlackRequestError("malformed", "the request is no form with a JSON payload") from error
    if not isinstance(payload, dict):
        raise SlackRequestError("malformed", "the payload is no JSON object")
    return payload
