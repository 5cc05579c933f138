"""What a post-mortem's template knows: what happened, and what would keep it from happening again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from deploywatch.receiver.rendering.filters import lasting
from deploywatch.receiver.rendering.text import line
from deploywatch.receiver.story import AlertView, DeploymentView, IncidentView, RollbackView, TimelineEntryView


def postmortem_facts(
    incident: IncidentView,
    alerts: Sequence[AlertView],
    timeline: Sequence[TimelineEntryView],
    rollback: RollbackView | None,
    deployment: DeploymentView | None,
) -> dict[str, object]:
    """The variables of the post-mortem; the worst alert is the first.

    `began` is when the first alert did, as far as anybody says, and `before` how long before the incident opened, where
    it was. `happened` is the timeline without what was only sent or repeated, `sent` how many lines that leaves out.
    """
    ordered = sorted(timeline, key=lambda entry: entry.at)
    began = min((alert.starts_at for alert in alerts), default=incident.opened_at)
    happened = [entry for entry in ordered if not entry.aside]
    return {
        "happened": happened,
        "sent": len(ordered) - len(happened),
        "began": began,
        "before": lasting(incident.opened_at - began) if incident.opened_at - began >= timedelta(seconds=1) else "",
        "prevention": prevention(alerts, rollback, deployment),
        "incident": incident,
        "alerts": alerts,
        "timeline": ordered,
        "rollback": rollback,
        "deployment": deployment,
        "lead": alerts[0] if alerts else None,
        "duration": incident.duration,
    }


def prevention(alerts: Sequence[AlertView], rollback: RollbackView | None, deployment: DeploymentView | None) -> str:
    """What would keep it from happening again, as far as alerts, rollback and deployment say it; else an empty text.

    The annotation `prevention` of an alert goes first.
    """
    if sentence := next((text for alert in alerts if (text := alert.annotations.get("prevention", "").strip())), ""):
        return line(sentence, 500)
    if rollback is not None and rollback.from_version:
        version = line(rollback.from_version, 80)
        return f"find what {version} broke, and add a check that finds it before it is deployed again"
    if deployment is not None:
        version = line(deployment.version, 80)
        return f"look whether {version} caused it, and add a check that would have found it before the deployment"
    return ""
