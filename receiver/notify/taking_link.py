"""Signed links by which whoever reads a message says that they have the incident in hand; one a person."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from deploywatch.receiver.messages import Message
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.settings.people.on_call import Schedule
from deploywatch.receiver.story import Event

PAGE: Final = "/api/v1/taken"
"""Where the links lead; the page asks, because mail scanners open links."""
NAME: Final = "I have it"
GOOD_FOR: Final = timedelta(days=1)
_ASKING: Final = frozenset({Event.OPENED, Event.WORSENED, Event.ESCALATED, Event.REMINDER})
_NUMBER: Final = re.compile("[0-9]{1,18}")


def added(settings: ReceiverConfig, message: Message, channel: str) -> Message:
    """The message with the link before its others, where it asks for somebody and links can be signed."""
    waits = message.event in _ASKING and not (message.incident.acknowledged_at or message.incident.resolved_at)
    if not waits or message.at is None:
        return message
    url = link(settings, message.incident.id, person_of(settings.oncall, channel), message.at + GOOD_FOR)
    return replace(message, links=((NAME, url), *message.links)) if url else message


def person_of(schedule: Schedule, channel: str) -> str:
    """The one person whom a channel reaches; empty where it reaches several, or a team."""
    people = [name for name, person in schedule.people.items() if channel in person.channels]
    shared = [other.channels for other in schedule.teams.values()]
    shared += [other.channels for other in schedule.contacts.values()]
    return people[0] if len(people) == 1 and not any(channel in channels for channels in shared) else ""


def link(settings: ReceiverConfig, incident: int, who: str, expires: datetime) -> str:
    """The link for an incident and a person (empty: whoever holds it); empty without a secret or an external URL."""
    secret = settings.rollback.approval.secret
    if secret is None or not settings.external_url:
        return ""
    query = {"incident": str(incident), "who": who, "expires": str(int(expires.timestamp()))}
    query["signature"] = _signature(secret.get_secret_value(), query)
    return f"{settings.external_url.rstrip('/')}{PAGE}?{urlencode(query)}"


def refused(settings: ReceiverConfig, query: Mapping[str, str], now: datetime) -> str:
    """Why a link does not count, or empty: forged, or too old."""
    secret = settings.rollback.approval.secret
    known = _NUMBER.fullmatch(query.get("incident", "")) and _NUMBER.fullmatch(query.get("expires", ""))
    if secret is None or not known:
        return "this link is not valid"
    expected = _signature(secret.get_secret_value(), query)
    if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode()):
        return "this link is not valid"
    over = datetime.fromtimestamp(int(query["expires"]), UTC)
    return f"this link was good until {over:%Y-%m-%d %H:%M:%S} UTC" if now >= over else ""


def _signature(secret: str, query: Mapping[str, str]) -> str:
    signed = "\n".join(("taken", query.get("incident", ""), query.get("expires", ""), query.get("who", "")))
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
