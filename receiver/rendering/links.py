"""The links of a message: decisions that are asked for, and where people look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deploywatch.receiver.messages import APPROVE, REJECT
from deploywatch.receiver.rendering.filters import (
    web_link,
    worst_first,
)
from deploywatch.receiver.story import Event, Story

LINKS_OF_A_KIND: Final = 3


def links_of(story: Story) -> Iterator[tuple[str, str]]:
    alerts = worst_first(story.alerts)
    if story.event is Event.APPROVAL_WANTED:
        decisions = ((APPROVE, web_link(story.approve_url)), (REJECT, web_link(story.reject_url)))
        yield from ((name, link) for name, link in decisions if link)
    kinds = {
        "Incident": [story.incident.url],
        "Bridge": [] if story.incident.resolved_at else [story.bridge],
        "Runbook": [alert.runbook_url for alert in alerts],
        "Dashboard": [alert.dashboard_url for alert in alerts],
        "Prometheus": [alert.source_url for alert in alerts],
    }
    for name, urls in kinds.items():
        unique = list(dict.fromkeys(link for link in map(web_link, urls) if link))[:LINKS_OF_A_KIND]
        for number, link in enumerate(unique, start=1):
            yield (name if len(unique) == 1 else f"{name} {number}"), link
