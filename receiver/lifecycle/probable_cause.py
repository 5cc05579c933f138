"""What an incident probably comes from, and what answers to that (source 003, P5): a pure function of what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deploywatch.conventions import SEVERITIES, AlertLabel
from deploywatch.quantity import Duration, format_duration, parse_duration
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.settings.people.causes import TELL_OWNER, Answer, Cause, Causes
from deploywatch.receiver.story import AlertView

# Source 003, P5: resource → scale, code → roll back, external → notify the dependency's owner.
ANSWERS: dict[Cause, tuple[Answer, ...]] = {
    Cause.RESOURCE: ("scale",),
    Cause.DEPLOYMENT: ("rollback",),
    Cause.DEPENDENCY: (TELL_OWNER,),
    Cause.UNKNOWN: (),
}
_TYPES = {
    "deployment_failure": Cause.DEPLOYMENT,
    "resource_utilization": Cause.RESOURCE,
    "resource_exhaustion": Cause.RESOURCE,
    "queue_overflow": Cause.RESOURCE,
    "dependency_failure": Cause.DEPENDENCY,
    "integration_failure": Cause.DEPENDENCY,
    "external_failure": Cause.DEPENDENCY,
}
_DEPENDENCY_LABELS = ("dependency", "upstream", "integration")


@dataclass(frozen=True, slots=True)
class Hint:
    """The probable cause and why; `dependency` is the name of what failed, where the alert says it."""

    cause: Cause
    why: str
    dependency: str = ""

    @property
    def suggests(self) -> tuple[Answer, ...]:
        """What P5 answers to it."""
        return ANSWERS[self.cause]

    def __str__(self) -> str:
        asked = f"; that suggests: {', '.join(self.suggests)}" if self.suggests else ""
        return f"probable cause: {self.cause}: {self.why}{asked}"


def _named(causes: Sequence[tuple[AlertView, Cause | None]]) -> Hint | None:
    """What an alert names by itself, a deployment before a dependency."""
    # A deployment first: where both are named, going back is what can be done, and is quickly done.
    for wanted in (Cause.DEPLOYMENT, Cause.DEPENDENCY):
        for alert, cause in causes:
            if cause is wanted:
                name = dependency(alert.labels) if cause is Cause.DEPENDENCY else ""
                return Hint(cause, f"{alert.name} is about {f'{name}, a {wanted}' if name else f'a {wanted}'}", name)
    return None


def hint(alerts: Iterable[AlertView], deployments: Iterable[Deployment], opened_at: datetime, settings: Causes) -> Hint:
    """The probable cause of an incident: what its alerts say, then what the ledger says.

    A deployment shortly before outweighs a lack of resources, because a new version may be what uses them up.
    """
    alerts = sorted(alerts, key=lambda alert: (not alert.firing, SEVERITIES.index(alert.severity), alert.starts_at))
    # What was deployed before the worst that fires may be at fault; a lingering smaller alert began before that.
    began = alerts[0].starts_at if alerts else opened_at
    causes = [(alert, _cause_of(alert.labels, settings)) for alert in alerts]
    if named := _named(causes):
        return named
    if recent := _recent(deployments, began, settings):
        before = format_duration(_whole_seconds(began, recent.started_at))
        return Hint(Cause.DEPLOYMENT, f"{recent.version} was deployed {before} before the first alert")
    for alert, cause in causes:
        if cause is Cause.RESOURCE:
            return Hint(cause, f"{alert.name} is about a resource, and nothing was deployed shortly before")
    return Hint(Cause.UNKNOWN, "no alert names one, and nothing was deployed shortly before")


def dependency(labels: Mapping[str, str]) -> str:
    """The name of the dependency that an alert is about, from its labels."""
    return next((labels[name] for name in _DEPENDENCY_LABELS if labels.get(name)), "")


def _cause_of(labels: Mapping[str, str], settings: Causes) -> Cause | None:
    # A team's own word goes before every table.
    if label := labels.get("cause", ""):
        return Cause(label) if label in set(Cause) else None
    kind = labels.get(AlertLabel.INCIDENT_TYPE, "")
    known = {**_TYPES, **settings.types}.get(kind)
    return known or (Cause.DEPENDENCY if dependency(labels) else None)


def _recent(deployments: Iterable[Deployment], began: datetime, settings: Causes) -> Deployment | None:
    """The last deployment before the first alert, if it is recent and no rollback."""
    before = [deployment for deployment in deployments if began - settings.recent <= deployment.started_at <= began]
    last = max(before, key=lambda deployment: (deployment.started_at, deployment.id), default=None)
    # A rollback is a remedy; to suspect it would roll forward to what was bad.
    return last if last and last.rollback_of is None else None


def _whole_seconds(later: datetime, earlier: datetime) -> Duration:
    return parse_duration(f"{int((later - earlier).total_seconds())}s")
