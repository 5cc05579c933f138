"""From an alert to its severity and plan: tables from the config, with the sources' as the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator

from deploywatch.config import Settings, nearest
from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import Duration
from deploywatch.receiver.alert import Alert

_NAME_LIMIT = 200

Severity = Literal["critical", "high", "medium", "low"]
ActionName = Literal["rollback", "scale", "notify", "escalate", "investigate", "log", "ticket", "status_page", "run"]


def _known(action: object) -> object:
    known = get_args(ActionName)
    if action not in known:
        raise ValueError(f"{action!r} is no action{nearest(str(action), known)}")
    return action


class Strategy(Settings):
    """What happens at one severity: `immediate` is executed, the other two are a checklist for people.

    What lives longer than `escalate_after` is escalated, acknowledged or not (source 004: 5 minutes).
    """

    immediate: tuple[Annotated[ActionName, BeforeValidator(_known)], ...] = ("notify",)
    monitoring: tuple[str, ...] = ()
    resolution: tuple[str, ...] = ()
    escalate_after: Annotated[Duration, Field(gt=timedelta())] | None = None

    @field_validator("immediate")
    @classmethod
    def _somebody_looks(cls, actions: tuple[str, ...]) -> tuple[str, ...]:
        if not actions:
            raise ValueError("name at least one action; log alone is enough, and notes that there was something")
        return actions


# Source 000, incident response: severity of each incident type; anything else is low.
SEVERITY_BY_TYPE: dict[str, Severity] = {
    "deployment_failure": "critical",
    "health_check_failure": "high",
    "performance_degradation": "medium",
    "resource_utilization": "medium",
    "queue_overflow": "high",
}

# The sources' other names: 001 SEV-1 to SEV-3, 003 P1 to P3 and L1 to L4, and what common rule sets use.
SEVERITY_NAMES: dict[str, Severity] = {
    "sev-1": "critical",
    "sev-2": "high",
    "sev-3": "medium",
    "p1": "critical",
    "p2": "high",
    "p3": "medium",
    "l4": "critical",
    "l3": "high",
    "l2": "medium",
    "l1": "low",
    "page": "critical",
    "error": "high",
    "warning": "medium",
    "info": "low",
    "none": "low",
}

# Source 000, incident response: actions of each severity.
STRATEGIES: dict[Severity, Strategy] = {
    "critical": Strategy(
        immediate=("rollback", "notify", "escalate"),
        monitoring=("Watch the service continuously", "Run the health checks"),
        resolution=("Fix the root cause", "Deploy the fix", "Verify the resolution"),
    ),
    "high": Strategy(
        immediate=("notify", "investigate"),
        monitoring=("Watch the service closely", "Check the performance"),
        resolution=("Fix the issue", "Deploy the fix", "Verify the resolution"),
    ),
    "medium": Strategy(
        immediate=("log", "notify"),
        monitoring=("Watch as usual",),
        resolution=("Investigate", "Fix the issue", "Deploy the fix"),
    ),
    "low": Strategy(
        immediate=("log",),
        monitoring=("Watch as usual",),
        resolution=("Investigate", "Fix the issue"),
    ),
}


class StrategyTable(Settings):
    """The tables of one receiver; what is given is laid over the defaults."""

    severity_names: dict[str, Severity] = Field(default_factory=dict)
    severity_by_type: dict[str, Severity] = Field(default_factory=dict)
    severities: dict[Severity, Strategy] = Field(default_factory=dict)

    def severity(self, alert: Alert) -> Severity:
        """The `severity` label in any of its known names, else what the incident type says, else low."""
        label = alert.labels.get(AlertLabel.SEVERITY, "").lower()
        if label in STRATEGIES:
            return label
        named = {**SEVERITY_NAMES, **{name.lower(): known for name, known in self.severity_names.items()}}.get(label)
        return named or {**SEVERITY_BY_TYPE, **self.severity_by_type}.get(incident_type(alert), "low")

    def of(self, severity: Severity) -> Strategy:
        """The strategy of a severity."""
        return self.severities.get(severity) or STRATEGIES[severity]

    def immediate(self, severity: Severity, alert: Alert) -> tuple[str, ...]:
        """The actions to execute at once, in order: the severity's, then the one that the alert itself asks for.

        The last may be one that this receiver does not have; the caller says so on the timeline.
        """
        return tuple(dict.fromkeys((*self.of(severity).immediate, *asked(alert))))


def asked(alert: Alert) -> tuple[str, ...]:
    """The action that the alert itself asks for, if any; it may be one that this receiver does not have."""
    action = alert.labels.get(AlertLabel.ACTION, "")
    return (action,) if action else ()


def incident_type(alert: Alert) -> str:
    """What kind of trouble the alert is about."""
    return alert.labels.get(AlertLabel.INCIDENT_TYPE) or alert.name


def target(alert: Alert) -> tuple[str, str]:
    """Service and environment that the alert is about, from the nearest labels that it has, cut to a sane length."""
    labels = alert.labels
    service = labels.get(AlertLabel.SERVICE) or labels.get("job") or alert.name
    environment = labels.get(AlertLabel.ENVIRONMENT) or labels.get("env") or "default"
    return service[:_NAME_LIMIT], environment[:_NAME_LIMIT]


def correlation(alert: Alert, further: Iterable[str]) -> dict[str, str]:
    """The values that the alert has of these further labels, cut to a sane length; what it lacks is left out."""
    return {name: value[:_NAME_LIMIT] for name in further if (value := alert.labels.get(name))}


def unknown_channels(alert: Alert, known: Iterable[str]) -> tuple[str, ...]:
    """The names in the alert's own `channels` that this receiver does not have."""
    named = [name.strip() for name in alert.annotations.get(AlertAnnotation.CHANNELS, "").split(",")]
    return tuple(name for name in dict.fromkeys(named) if name and name not in known)


def channels(
    alert: Alert, by_severity: Mapping[Severity, Iterable[str]], severity: Severity, known: Iterable[str]
) -> tuple[str, ...]:
    """Where people hear of it: the alert's own `channels`, else the severity's, else every channel there is.

    Names that this receiver does not have are left out of the alert's own; `unknown_channels` says which.
    """
    everyone = tuple(known)
    named = [name.strip() for name in alert.annotations.get(AlertAnnotation.CHANNELS, "").split(",")]
    return tuple(name for name in dict.fromkeys(named) if name in everyone) or tuple(
        by_severity.get(severity, everyone)
    )
