"""From an alert to its severity and plan: tables from the config, with the sources' as the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Annotated, Literal, get_args
from unicodedata import normalize

from pydantic import BeforeValidator, Field, field_validator

from deploywatch.config import Settings, nearest
from deploywatch.conventions import AlertAnnotation, AlertLabel
from deploywatch.quantity import Duration
from deploywatch.receiver.alert import Alert

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

# The sources' other names (001 SEV-1 to SEV-3, 003 P1 to P3 and L1 to L4), and those of the rule sets and tools that
# people use. Compared in small letters, without spaces, dashes and underscores.
SEVERITY_NAMES: dict[str, Severity] = {
    **dict.fromkeys(
        (
            "sev0",
            "sev1",
            "p0",
            "p1",
            "l4",
            "page",
            "pager",
            "fatal",
            "crit",
            "emergency",
            "emerg",
            "disaster",
            "blocker",
        ),
        "critical",
    ),
    **dict.fromkeys(("sev2", "p2", "l3", "error", "err", "major", "urgent", "severe", "alert"), "high"),
    **dict.fromkeys(("sev3", "p3", "l2", "warning", "warn", "minor", "average", "moderate", "ticket"), "medium"),
    **dict.fromkeys(
        ("sev4", "sev5", "p4", "p5", "l1", "info", "information", "informational", "notice", "debug", "none", "ok"),
        "low",
    ),
}
UNKNOWN: Severity = "high"
"""What an alert counts as whose severity nobody knows: it must reach somebody."""

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


_BY_NAME: dict[str, Severity] = {**{severity: severity for severity in STRATEGIES}, **SEVERITY_NAMES}


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    """A severity's name as names are compared: wide letters are letters, and any kind of space is none."""
    return "".join(
        letter for letter in normalize("NFKC", name).casefold() if not letter.isspace() and letter not in "-_"
    )


# Those that a severity, a probable cause or a message of its own follows from.
_TYPES_BY_PLAIN_NAME = {
    _plain(name): name
    for name in (
        *SEVERITY_BY_TYPE,
        *("resource_exhaustion", "dependency_failure", "integration_failure", "external_failure"),
    )
}


class StrategyTable(Settings):
    """The tables of one receiver; what is given is laid over the defaults."""

    severity_names: dict[str, Severity] = Field(default_factory=dict)
    severity_by_type: dict[str, Severity] = Field(default_factory=dict)
    severities: dict[Severity, Strategy] = Field(default_factory=dict)

    def severity(self, alert: Alert) -> Severity:
        """The `severity` label in any of its known names, else what the incident type says, else `UNKNOWN`."""
        return self.known_severity(alert) or UNKNOWN

    def known_severity(self, alert: Alert) -> Severity | None:
        """The severity that the alert says; None where nobody knows what it says."""
        label = _plain(alert.labels.get(AlertLabel.SEVERITY, ""))
        if named := self._by_name.get(label):
            return named
        # The label first, since it is the alert's own word; the type is only a rule of ours.
        by_type = self._by_type.get(incident_type(alert))
        if by_type is None and alert.labels.get(AlertLabel.INCIDENT_TYPE, "").strip():
            by_type = "low"  # source 000: any other incident type
        # A word that is not known may mean more than the type of the incident does.
        return by_type if by_type and (not label or by_type == "critical") else None

    @cached_property
    def _by_name(self) -> dict[str, Severity]:
        return {**_BY_NAME, **{_plain(name): known for name, known in self.severity_names.items()}}

    @cached_property
    def _by_type(self) -> dict[str, Severity]:
        return {**SEVERITY_BY_TYPE, **self.severity_by_type}

    def of(self, severity: Severity) -> Strategy:
        """The strategy of a severity."""
        return self.severities.get(severity) or STRATEGIES[severity]

    def immediate(self, severity: Severity, alert: Alert) -> tuple[str, ...]:
        """The actions to execute at once, in order: the severity's, then the one that the alert itself asks for.

        The last may be one that this receiver does not have; the caller says so on the timeline.
        """
        # Each once, in their order: an alert that asks for what its severity does anyway asks for it once.
        return tuple(dict.fromkeys((*self.of(severity).immediate, *asked(alert))))


def asked(alert: Alert) -> tuple[str, ...]:
    """The action that the alert itself asks for, if any; it may be one that this receiver does not have."""
    action = alert.labels.get(AlertLabel.ACTION, "")
    return (action,) if action else ()


def incident_type(alert: Alert) -> str:
    """What kind of trouble the alert is about; one that is known, in whatever spelling, by its own name."""
    label = alert.labels.get(AlertLabel.INCIDENT_TYPE, "").strip()
    return _TYPES_BY_PLAIN_NAME.get(_plain(label), label) if label else alert.name


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
