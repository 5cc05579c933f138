"""Every template is rendered with sample alerts, so that one that fails is known before it is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from deploywatch.errors import ConfigError
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.settings.config import ReceiverConfig
from deploywatch.receiver.story import (
    AlertView,
    DegradationView,
    DeploymentView,
    Event,
    IncidentView,
    RollbackView,
    Story,
)

_ROLLBACK = RollbackView("1.2.3", "1.2.2", "cooldown", "until 14:35", timedelta(seconds=42))
_START = datetime(2026, 5, 1, tzinfo=UTC)
_DEPLOYMENT = DeploymentView("shop", "production", "1.2.3", "1.2.2", _START, None, "running", "ci")
_DEGRADATION = DegradationView("p95 latency", "800ms", "500ms", timedelta(minutes=5), "slow pages", "scale up")


def templates(settings: ReceiverConfig, now: datetime) -> None:
    """Render every template; ConfigError with each that fails, instead of which people would get a plain message."""
    compiled = Templates(settings.templates)
    stories = [story for event in Event for story in (_bare(event, now), _rich(event, now))]
    problems = {problem for story in stories for problem in compiled.faults(story)}
    problems.update(problem for story in stories for problem in compiled.postmortem_faults(story))
    if problems:
        raise ConfigError(sorted(problems))


def _bare(event: Event, now: datetime) -> Story:
    """An alert that says nothing of itself but its name, at the moment at which it fires."""
    return Story(event, now, _incident(now, event), (_alert(now),), rollback=_rollback(event, RollbackView("", "")))


def _rich(event: Event, now: datetime) -> Story:
    """Three alerts, one of which is over, and all that there is to say."""
    annotations = {
        "summary": "5% of requests fail",
        "description": "since the deployment",
        "value": "5%",
        "threshold": "1%",
    }
    links = {"runbook_url": "https://example.com/runbook", "dashboard_url": "https://example.com/dashboard"}
    labels = {"alertname": "HighErrorRate", "service": "shop", "environment": "production", "severity": "critical"}
    alerts = (
        _alert(now - timedelta(minutes=5), **annotations, **links, labels=labels, annotations={**annotations, **links}),
        _alert(now - timedelta(minutes=1)),
        _alert(now - timedelta(hours=1), firing=False, ends_at=now),
    )
    return Story(
        event=event,
        at=now,
        incident=_incident(now - timedelta(minutes=5), event, over=now),
        alerts=alerts,
        rollback=_rollback(event, _ROLLBACK),
        note="a remark",
        next_update=now + timedelta(minutes=15),
        eta=timedelta(minutes=2),
        expires=now + timedelta(minutes=10),
        approve_url="https://example.com/yes",
        reject_url="https://example.com/no",
        degradation=_DEGRADATION,
        cause="a deployment",
        prevention="a test",
        deployment=_DEPLOYMENT,
    )


def _rollback(event: Event, example: RollbackView) -> RollbackView | None:
    return example if event.value.startswith(("rollback", "approval")) else None


def _incident(opened_at: datetime, event: Event, *, over: datetime | None = None) -> IncidentView:
    resolved_at = (over or opened_at) if event is Event.RESOLVED else None
    return IncidentView(
        id=1,
        service="shop",
        environment="production",
        severity="critical",
        status="resolved" if resolved_at else "open",
        title="5% of requests fail",
        type="errors",
        opened_at=opened_at,
        acknowledged_at=over,
        acknowledged_by="ann" if over else "",
        resolved_at=resolved_at,
        url="https://example.com/incidents/1" if over else "",
    )


def _alert(starts_at: datetime, **more: Any) -> AlertView:
    """A firing alert with a name; `more` are further fields."""
    annotations = dict.fromkeys(("summary", "description", "value", "threshold", "runbook_url", "dashboard_url"), "")
    always = {"name": "HighErrorRate", "firing": True, "severity": "critical", "ends_at": None}
    return AlertView(
        **{**always, **annotations, "starts_at": starts_at, "labels": {"alertname": "HighErrorRate"}, **more}
    )
