"""A message without any template: the facts, where the user's template fails."""

from __future__ import annotations

from deploywatch.receiver.rendering.filters import measured, since, utc, worst_first
from deploywatch.receiver.rendering.naming import named, subject, where
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.story import Event, Story


def plain_message(story: Story, failure: str) -> tuple[str, str]:
    """Title and body without any template: the facts, and that the template failed."""
    facts = _facts(story)
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    title = f"{facts['Event']}: {subject(story.incident)}"
    return title, "\n".join(
        [*lines, "", f"This message is plain because its template {failure}. Correct the template."]
    )


def _facts(story: Story) -> dict[str, str]:
    incident, alerts, rollback = story.incident, worst_first(story.alerts), story.rollback
    lead = alerts[0] if alerts else None
    return {
        "Event": event_name(story.event),
        "What": line((lead.summary if lead else "") or incident.title),
        "Alert": named(lead, incident) if lead else "",
        "Where": where(incident),
        "Since": since(lead if lead and lead.firing else incident, story.at),
        "How bad": ", ".join(part for part in (line(incident.severity, 40), measured(lead)) if part),
        "Ended": utc(incident.resolved_at) if incident.resolved_at else "",
        "Rollback": line(f"{rollback.from_version} → {rollback.to_version} {rollback.detail}") if rollback else "",
        "Note": line(story.note, 1000),
        "Alerts": line(", ".join(alert.name for alert in alerts[:20]), 1000),
    }


def event_name(event: Event) -> str:
    return event.value.replace("_", " ").capitalize()
