"""Publishes that a gate refused a deployment: once, while a pipeline that waits is told the same again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from deploywatch.receiver.events import facts, outbox
from deploywatch.receiver.events.types import EventType
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.verification.gate import Gate
from deploywatch.receiver.verification.question import Standing

AGAIN_AFTER: Final = timedelta(minutes=10)
"""After so long the same refusal is news again: another pipeline met it."""


def publish(connection: Connection, settings: ReceiverConfig, gate: Gate, now: datetime) -> bool:
    """Write the event, unless the same was said of this version a moment ago; whether it was written."""
    asked = gate.asked
    lacking = [check.to_json() for check in gate.checks if check.standing is not Standing.OPEN]
    fact = facts.gate_refused(
        asked.service, asked.environment, now, version=asked.version, state=gate.state, lacking=lacking
    )
    last = outbox.newest(connection, asked.service, asked.environment, EventType.GATE_REFUSED)
    if last and now - last.at < AGAIN_AFTER and _what(last.data["content"]) == _what(fact.content):
        return False
    outbox.emit(connection, settings, fact, now)
    return bool(settings.events.sinks)


def _what(content: object) -> tuple[str, frozenset[tuple[str, str]]]:
    """The version and what it lacks; not how much of it, which changes from look to look."""
    assert isinstance(content, dict)  # noqa: S101 - it is what `facts` made
    return content["version"], frozenset((check["require"], check["standing"]) for check in content["lacking"])
