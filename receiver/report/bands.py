"""Signals beside what was usual for them: the band that was learned, hour by hour, and what was measured within it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from deploywatch.receiver.assessment.learned import Usual, hour_of_week
from deploywatch.receiver.deployments import assessments
from deploywatch.receiver.deployments.assessments import StoredAssessment, StoredBaseline
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.report.schema import BandPoint, BandValue, ReportBand

# A chart of 600 units shows no more: 30 hours of what is usual, and a value every five units.
HOUR = timedelta(hours=1)
MOST_HOURS, MOST_VALUES = 30, 120
MOST_ASSESSMENTS = 2000


def bands(connection: Connection, deployment: Deployment, now: datetime) -> list[ReportBand]:
    """A band for each signal with what is usual for it; values that one chart can show, evenly thinned out."""
    # The newest so many, then turned round: a deployment that runs for weeks has more than a page can read.
    stored = assessments.recent(connection, deployment.id, limit=MOST_ASSESSMENTS)[::-1]
    learned = assessments.baselines(connection, deployment.id)
    if not stored or not learned:
        return []
    until = min(stored[-1].at, now)
    made = []
    # By the newest assessment: a policy may have changed meanwhile, and its bounds of today are those that count.
    for signal in stored[-1].details["signals"]:
        baseline = learned.get(signal.get("learn", ""))
        # The signal is not learned, only limited; there is nothing usual to draw.
        if baseline is None:
            continue
        usual = _usual(baseline, deployment.started_at, until, signal.get("bound", 0.0))
        values = _values(stored, signal["name"])
        if usual and values:
            made.append(_band(signal["name"], signal["unit"], usual, values, baseline))
    return made


def _band(
    name: str, unit: str, usual: list[BandPoint], values: list[BandValue], baseline: StoredBaseline
) -> ReportBand:
    left_out = [
        f"{what}, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC" for what, since, until in baseline.left_out
    ]
    return {"signal": name, "unit": unit, "usual": usual, "values": values, "left_out": left_out}


def _usual(baseline: StoredBaseline, since: datetime, until: datetime, bound: float) -> list[BandPoint]:
    points: list[BandPoint] = []
    # Whole hours, as what is usual is learned by the hour of the week.
    at = since.replace(minute=0, second=0, microsecond=0)
    while at <= until and len(points) < MOST_HOURS:
        known = baseline.hours.get(hour_of_week(at))
        usual = Usual(*known) if known else None
        if usual is not None and usual.enough:
            low, high = usual.band(bound)
            points.append({"at": at.isoformat(), "low": low, "median": usual.median, "high": high})
        at += HOUR
    return points


def _values(stored: list[StoredAssessment], name: str) -> list[BandValue]:
    values: list[BandValue] = []
    for assessment in stored:
        value = next((signal["value"] for signal in assessment.details["signals"] if signal["name"] == name), None)
        if value is not None:
            values.append({"at": assessment.at.isoformat(), "value": value})
    # Every n-th and no means: an outlier that is drawn was really measured.
    every = -(-len(values) // MOST_VALUES)
    return values[:: every or 1]
