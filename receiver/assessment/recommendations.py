"""What to do about a deployment: a recommendation for each signal, anomaly and gap, with its runbook; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploywatch.receiver.assessment.amounts import shown
from deploywatch.receiver.assessment.anomalies import Anomaly
from deploywatch.receiver.assessment.measured import Degree, Measurement, Reading, Status

_ADVICE = {
    "rollback": "roll back if it began with this version",
    "scale": "scale up, or find what uses it",
    "investigate": "find out what changed",
    "escalate": "call the next level, and find out what changed",
    "notify": "look at what changed with this version",
    "run": "run what the runbook says",
    "log": "keep an eye on it",
    "ticket": "file a ticket, and mend it soon",
    "status_page": "tell the users, and find out what changed",
}
"""By the action that the policy's gravest alert on the signal asks for."""
_NO_ALERT = "find out what changed; the policy has no alert on it"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, about which signal, and the page that says how; the runbook is empty where nobody wrote one."""

    signal: str
    text: str
    runbook: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is stored and given by the API."""
        return asdict(self)


def recommend(measured: Measurement, anomalies: Sequence[Anomaly], *, judged_bad: bool) -> tuple[Recommendation, ...]:
    """Everything that there is to do, the most urgent first."""
    return tuple(_all(measured, anomalies, judged_bad=judged_bad))


def _all(measured: Measurement, anomalies: Sequence[Anomaly], *, judged_bad: bool) -> Iterator[Recommendation]:
    if judged_bad:
        yield Recommendation("verdict", "roll back: the version is proven bad; see whether a brake holds the rollback")
    if measured.problem:
        yield Recommendation("monitoring", f"mend the monitoring, nothing can be assessed: {measured.problem}")
    # The gravest first, as the first is what people do.
    for status in (Status.CRITICAL, Status.WARNING):
        yield from (_signal(reading) for reading in measured.readings if reading.status is status)
    bad = {reading.signal.name for reading in measured.readings if reading.status in (Status.CRITICAL, Status.WARNING)}
    for anomaly in anomalies:
        # A signal that is beyond its limit already has its recommendation.
        if not bad.intersection(anomaly.signals):
            yield _anomaly(anomaly)
    for reading in measured.readings:
        if reading.status is Status.UNKNOWN and not measured.problem:
            name = reading.signal.name
            yield Recommendation(name, f"{name} has no value: see why it is not measured", reading.signal.runbook)


def _signal(reading: Reading) -> Recommendation:
    signal = reading.signal
    limit = signal.critical if reading.status is Status.CRITICAL else signal.warning
    advice = _ADVICE.get(signal.action, _NO_ALERT)
    text = f"{signal.name} is {reading.status} ({limit}), now {shown(reading.value, signal.unit)}: {advice}"
    return Recommendation(signal.name, text, signal.runbook)


def _anomaly(anomaly: Anomaly) -> Recommendation:
    about = " and ".join(anomaly.signals) or anomaly.name
    text = f"{about} is within its limits, and not as usual ({anomaly.sentence}): look at what changed"
    if anomaly.degree is Degree.HIGH:
        text += ", before it gets worse"
    return Recommendation(about, text, anomaly.runbook)
