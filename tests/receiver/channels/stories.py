"""Stories to tell in tests: an ordinary incident, and the awkward ones."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.templates import Templates
from deploywatch.receiver.story import (
    AlertView,
    DegradationView,
    DeploymentView,
    Event,
    IncidentView,
    RollbackView,
    Story,
)

OPENED = datetime(2026, 5, 1, 14, 3, 5, tzinfo=UTC)
NOW = OPENED + timedelta(minutes=2, seconds=5)

ALERT = AlertView(
    name="HighErrorRate",
    firing=True,
    severity="critical",
    summary="5.2% of the shop's requests fail",
    description="Errors began 40 s after version 1.2.3 was deployed.",
    value="5.2%",
    threshold="1%",
    runbook_url="https://runbooks.example.com/HighErrorRate",
    dashboard_url="https://grafana.example.com/d/shop?var-environment=production&from=now-1h",
    starts_at=OPENED,
    ends_at=None,
    labels={"alertname": "HighErrorRate", "service": "shop", "instance": "10.0.0.9:9100", "severity": "critical"},
    source_url="https://prometheus.example.com/graph?g0.expr=errors",
)
INCIDENT = IncidentView(
    id=12,
    service="shop",
    environment="production",
    severity="critical",
    status="open",
    title="HighErrorRate",
    type="performance_degradation",
    opened_at=OPENED,
    url="https://deploywatch.example.com/incidents/12",
)
SLOW = replace(
    ALERT, name="HighLatency", severity="high", summary="p95 is 900ms", starts_at=OPENED + timedelta(minutes=1)
)
SLOWER = DegradationView(
    metric="latency_p95",
    value="900ms",
    threshold="500ms",
    duration=timedelta(minutes=3),
    impact="checkout takes twice as long as before 1.2.3",
    remediation="a rollback to 1.2.2 waits for approval",
)
SOON = NOW + timedelta(minutes=15)
ROLLBACK = RollbackView(from_version="1.2.3", to_version="1.2.2")
COMMAND = replace(ROLLBACK, detail="./deploy.py shop 1.2.2")
WHY = "error ratio above 1% for 2m, 40s after a deployment"

TEMPLATES = Templates()
"""Ours, compiled once for all tests."""

DEPLOYMENT = DeploymentView(
    "shop", "production", "1.2.3", "1.2.2", OPENED - timedelta(seconds=40), OPENED, "succeeded", "ci"
)

HOSTILE = (
    "{{ 7*7 }} {% for x in y %} ${HOME} <!channel> <@U123> @everyone @here <script>alert(1)</script> *b* _i_ `c`"
    " [l](javascript:x) |\r\nBcc: evil@example.com\r\n\r\nshalom שלום \u202eabc\u202c 🔥\x00\x1b[31m \ud800"
)


def story(event: Event) -> Story:
    """An ordinary story of this event."""
    told = {
        Event.OPENED: Story(
            event, NOW, INCIDENT, (ALERT,), note="rollback to 1.2.2 is being considered", deployment=DEPLOYMENT
        ),
        Event.WORSENED: Story(event, NOW, INCIDENT, (ALERT, SLOW), note="severity rose from high to critical"),
        Event.ACKNOWLEDGED: Story(
            event, NOW, replace(INCIDENT, acknowledged_at=NOW, acknowledged_by="ann"), (ALERT,), note="on my way"
        ),
        Event.ESCALATED: Story(event, NOW, INCIDENT, (ALERT,), note="not acknowledged within 5m"),
        Event.ROLLBACK_STARTED: Story(
            event, NOW, INCIDENT, (ALERT,), COMMAND, note=WHY, eta=timedelta(minutes=2), next_update=SOON
        ),
        Event.ROLLBACK_SUCCEEDED: Story(
            event,
            NOW,
            INCIDENT,
            (ALERT,),
            replace(ROLLBACK, duration=timedelta(seconds=42), detail="every health check passes"),
        ),
        Event.ROLLBACK_FAILED: Story(
            event,
            NOW,
            INCIDENT,
            (ALERT,),
            replace(ROLLBACK, duration=timedelta(seconds=42), reason="exit_code", detail="the command ended with 3"),
        ),
        Event.ROLLBACK_REFUSED: Story(
            event,
            NOW,
            INCIDENT,
            (ALERT,),
            replace(
                ROLLBACK, reason="cooldown", detail="the last rollback was at 13:50:00 UTC; cooldown until 14:35:00 UTC"
            ),
        ),
        Event.ROLLBACK_DRY_RUN: Story(event, NOW, INCIDENT, (ALERT,), COMMAND, note=WHY),
        Event.ROLLBACK_UNKNOWN: Story(event, NOW, INCIDENT, (ALERT,), ROLLBACK),
        Event.RESOLVED: Story(
            event,
            NOW,
            replace(INCIDENT, status="resolved", resolved_at=OPENED + timedelta(minutes=4, seconds=10)),
            (replace(ALERT, firing=False, ends_at=NOW),),
            note="every alert resolved, quiet for 1m",
            cause="version 1.2.3 queries a table that is not there",
            prevention="migrate before the deployment",
        ),
        Event.APPROVAL_WANTED: Story(
            event,
            NOW,
            INCIDENT,
            (ALERT,),
            COMMAND,
            note=WHY,
            eta=timedelta(minutes=2),
            expires=SOON,
            approve_url="https://deploywatch.example.com/approve/abc",
            reject_url="https://deploywatch.example.com/reject/abc",
        ),
        Event.APPROVAL_EXPIRED: Story(event, SOON, INCIDENT, (ALERT,), COMMAND, note=WHY, expires=SOON),
        Event.DEGRADATION: Story(event, NOW, INCIDENT, (SLOW,), degradation=SLOWER, next_update=SOON),
        Event.UPDATE: Story(
            event,
            NOW,
            replace(INCIDENT, acknowledged_at=NOW, acknowledged_by="ann"),
            (ALERT, SLOW),
            ROLLBACK,
            note="the rollback runs, errors are falling",
            next_update=SOON,
        ),
        Event.REMINDER: Story(event, SOON, INCIDENT, (ALERT,), note="critical incidents are taken within 5m"),
    }
    if event.startswith(("rollback_", "approval_")):
        return replace(told[event], rollback_said=f"what was said of {event.replace('_', ' ')}")
    return told[event]


def message(event: Event = Event.OPENED) -> Message:
    """The ordinary message of this event."""
    return TEMPLATES.render(story(event))


AWKWARD: dict[str, Story] = {
    "no alerts": Story(Event.OPENED, NOW, INCIDENT, ()),
    "no annotations": Story(
        Event.OPENED,
        NOW,
        INCIDENT,
        (replace(ALERT, summary="", description="", value="", threshold="", runbook_url="", dashboard_url=""),),
    ),
    "300 alerts": Story(
        Event.OPENED,
        NOW,
        INCIDENT,
        tuple(
            replace(ALERT, name=f"Alert{number}", runbook_url=f"https://r.example.com/{number}")
            for number in range(300)
        ),
    ),
    "a 10,000-character label": Story(
        Event.OPENED,
        NOW,
        replace(INCIDENT, service="s" * 10_000, title="t" * 10_000),
        (
            replace(
                ALERT, name="n" * 10_000, summary="&" * 10_000, description="<" * 10_000, labels={"l": "x" * 10_000}
            ),
        ),
        note="🔥" * 10_000,
    ),
    "hostile text everywhere": Story(
        Event.ROLLBACK_FAILED,
        NOW,
        replace(
            INCIDENT,
            service=HOSTILE,
            environment=HOSTILE,
            title=HOSTILE,
            severity=HOSTILE,
            type=HOSTILE,
            acknowledged_by=HOSTILE,
            url="javascript:alert(1)",
        ),
        (
            replace(
                ALERT,
                name=HOSTILE,
                summary=HOSTILE,
                description=HOSTILE,
                value=HOSTILE,
                threshold=HOSTILE,
                runbook_url="https://r.example.com/a|b>c<d \"e'\r\nBcc: x@y",
                dashboard_url="http://[broken",
            ),
        ),
        RollbackView(HOSTILE, HOSTILE, HOSTILE, HOSTILE, timedelta(days=-1)),
        note=HOSTILE,
        deployment=DeploymentView(HOSTILE, HOSTILE, HOSTILE, HOSTILE, NOW, None, HOSTILE, HOSTILE),
    ),
    "right-to-left text and emoji": Story(
        Event.OPENED,
        NOW,
        replace(INCIDENT, title="שיעור שגיאות גבוה 🔥"),
        (replace(ALERT, summary="خطأ في الخدمة 👩‍👩‍👧"),),
    ),
    "nothing at all": Story(
        Event.OPENED, NOW, IncidentView(0, "", "", "", "", "", "", OPENED), (replace(ALERT, name="", severity=""),)
    ),
}


def file_name(awkward: str, suffix: str) -> str:
    """`a-10000-character-label.json`."""
    return awkward.replace(",", "").replace(" ", "-") + suffix


def same_as_golden(path: Path, text: str) -> None:
    """Assert that the text is the committed one; with UPDATE_GOLDEN=1 in the environment, write it instead."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    assert text == path.read_bytes().decode(), f"{path.name} differs; look, then write it with UPDATE_GOLDEN=1"
