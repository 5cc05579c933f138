"""What arrived at the servers that stand in for Slack, PagerDuty, a webhook's receiver and a mail server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KINDS = ("slack", "webhook", "email")
"""Where each message is seen by somebody, and bears its name."""


@dataclass(frozen=True, slots=True)
class Page:
    """An event of PagerDuty's; what it is about, only a trigger says."""

    action: str
    event: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How often each message arrived, by kind of channel and its name; the events of each of PagerDuty's alerts."""

    messages: Mapping[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    pages: Mapping[str, Sequence[Page]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Of every message."""
        return {name for counted in self.messages.values() for name in counted}

    def count(self, name: str) -> int:
        """How often that message arrived."""
        return sum(counted[name] for counted in self.messages.values())

    def __str__(self) -> str:
        said = []
        for kind, counted in self.messages.items():
            often = Counter(min(count, 3) for count in counted.values())
            said.append(f"{kind} {len(counted)} (once {often[1]}, twice {often[2]}, more often {often[3]})")
        events, distinct = (sum(map(len, pages)) for pages in (self.pages.values(), map(set, self.pages.values())))
        return f"{', '.join(said)}, pagerduty {len(self.pages)} alerts ({events} events, {events - distinct} repeated)"


def read(file: Path) -> Arrivals:
    """Read what an inbox wrote; a message of Slack's that was changed later is still one."""
    messages: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    pages: dict[str, list[Page]] = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        data = json.loads(line)
        if data["channel"] == "pagerduty":
            pages.setdefault(data["thread"], []).append(_page(data["raw"]))
        elif data["channel"] in messages and not data["updated_at"]:
            messages[data["channel"]][_name(data["channel"], data["raw"])] += 1
    return Arrivals(messages, pages)


def _name(kind: str, raw: Mapping[str, Any]) -> str:
    match kind:
        case "slack":
            return str(raw["metadata"]["event_payload"]["id"])
        case "email":
            return str(raw["headers"]["Message-ID"]).strip("<>").partition("@")[0]
        case _:
            return str(raw["id"])


def _page(raw: Mapping[str, Any]) -> Page:
    payload = raw.get("payload")
    if not payload:
        return Page(raw["event_action"])
    return Page(raw["event_action"], payload["custom_details"]["event"], parsed(payload["timestamp"]))


def parsed(at: str) -> datetime:
    """A time, as exactly as PagerDuty is told."""
    moment = datetime.fromisoformat(at).astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
