"""By when somebody must act: response deadlines, escalation steps, status updates and reviews, by severity."""

from __future__ import annotations

from enum import StrEnum

from deploywatch.receiver.incidents.incident import Incident


class Verdict(StrEnum):
    """What becomes of a reminder or step whose time has come."""

    DUE = "due"
    ACKNOWLEDGED = "acknowledged"
    OVER = "over"
    QUIET = "quiet"
    SUPERSEDED = "superseded"
    NOBODY_NEW = "nobody_new"
    OUT_OF_HOURS = "out_of_hours"
    REVIEWED = "reviewed"
    NOT_YET = "not_yet"
    SENT = "sent"


def judge(incident: Incident, severity: str) -> Verdict:
    """Whether people who did not respond must be reminded or passed over, for the deadline of a severity.

    An incident that became worse since has the deadline of its new severity.
    """
    if incident.resolved_at:
        return Verdict.OVER
    if incident.acknowledged_at:
        return Verdict.ACKNOWLEDGED
    # The bigger trouble has deadlines of its own, which were queued when it became worse.
    if incident.severity != severity:
        return Verdict.SUPERSEDED
    return Verdict.QUIET if incident.quiet_since else Verdict.DUE
