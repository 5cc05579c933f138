"""The policy model: what "healthy after a deployment" means for a team, as it stands in their file."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from deploywatch.config import Settings, nearest
from deploywatch.conventions import SEVERITIES
from deploywatch.quantity import Duration
from rules.expression import Condition, parse
from rules.selectors import SelectorField
from rules.series import LabelName, NotEmpty, Series

ACTIONS = ("rollback", "notify", "escalate", "investigate", "log", "scale", "ticket", "status_page", "run")
"""What the receiver can be asked to do about an alert."""

LONGEST_NAME = 27
"""A dashboard's uid is `deploywatch-` and the policy's name, and Grafana takes 40 characters."""


def _matching(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is no name for {what}")
        return value

    return AfterValidator(check)


def _one_of(known: tuple[str, ...], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"unknown {what} {value!r}{nearest(value, known)}")
        return value

    return AfterValidator(check)


def _whole_milliseconds(value: timedelta) -> timedelta:
    if value % timedelta(milliseconds=1):
        raise ValueError("is finer than Prometheus's clock; write whole milliseconds")
    return value


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise ValueError("must be more than nothing")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{value!r} is not a URL; write it whole, such as https://example.com/path")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into this URL; it is copied into generated files")
    return value.rstrip("/")


Wait = Annotated[Duration, AfterValidator(_whole_milliseconds)]
Period = Annotated[Wait, AfterValidator(_positive)]
Url = Annotated[str, AfterValidator(_http_url)]
PolicyName = Annotated[
    str,
    _matching(
        rf"[a-z][a-z0-9-]{{0,{LONGEST_NAME - 1}}}",
        f"a policy; use lower-case letters, digits and -, at most {LONGEST_NAME}",
    ),
]
AlertName = Annotated[str, _matching(r"[A-Z][A-Za-z0-9]*", "an alert; write it like HighErrorRate")]
IncidentType = Annotated[str, _matching(r"[a-z][a-z0-9_]*", "an incident type; write it like deployment_failure")]
Channel = Annotated[str, _matching(r"[a-z][a-z0-9_-]*", "a channel; write it like slack or slack-critical")]
Severity = Annotated[str, _one_of(SEVERITIES, "severity")]
Action = Annotated[str, _one_of(ACTIONS, "action")]


class Source(Settings):
    """A document, or a decision, that thresholds come from."""

    title: Annotated[str, NotEmpty]
    document: str = ""
    url: Url | None = None

    def __str__(self) -> str:
        return f"{self.title} [{self.document}]" if self.document else self.title


class Receiver(Settings):
    """Where Alertmanager sends the policy's alerts, and how patiently it groups them."""

    url: Url
    token_file: str | None = None
    group_wait: Wait = timedelta(seconds=10)
    group_interval: Period = timedelta(minutes=1)
    repeat_interval: Period = timedelta(hours=4)


class Links(Settings):
    """Where the runbook pages are served, and the root of Grafana; a link that is not given is left out."""

    runbooks: Url | None = None
    grafana: Url | None = None


class Alert(Settings):
    """One alert: when it fires, how bad that is, what is done, who is told, and who said so."""

    alert: AlertName
    when: str
    for_: Wait = Field(default=timedelta(0), alias="for")
    severity: Severity
    incident_type: IncidentType
    action: Action = "notify"
    channels: tuple[Channel, ...] = ()
    escalate_after: Wait | None = None
    summary: Annotated[str, NotEmpty]
    description: str | None = None
    impact: str = ""
    mitigation: tuple[str, ...] = ()
    source: Annotated[dict[str, str], NotEmpty]

    @property
    def condition(self) -> Condition:
        """What `when` says, as a tree; raises ExpressionError for what loading a policy refuses."""
        return parse(self.when)


class Policy(Settings):
    """One team's policy."""

    policy: PolicyName
    about: Annotated[str, NotEmpty]
    sources: Annotated[dict[str, Source], NotEmpty]
    series: Series = Series()
    selectors: dict[LabelName, SelectorField] = Field(default_factory=dict)
    interval: Period = timedelta(seconds=30)
    window: Period = timedelta(minutes=5)
    receiver: Receiver
    links: Links = Links()
    alerts: Annotated[tuple[Alert, ...], NotEmpty]
