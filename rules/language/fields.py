"""Kinds of values in a policy: names, waits, URLs, severities and actions; each says what is wrong with a bad one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from deploywatch.config import nearest
from deploywatch.conventions import SEVERITIES
from deploywatch.quantity import Duration

ACTIONS = ("rollback", "notify", "escalate", "investigate", "log", "scale", "ticket", "status_page", "run")
"""What the receiver can be asked to do about an alert."""

LONGEST_NAME = 27
"""A dashboard's uid is `deploywatch-` and the policy's name, and Grafana takes 40 characters."""


def matching(pattern: str, what: str) -> AfterValidator:
    """Refuses a text that does not match all of the pattern."""

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
    matching(
        rf"[a-z][a-z0-9-]{{0,{LONGEST_NAME - 1}}}",
        f"a policy; use lower-case letters, digits and -, at most {LONGEST_NAME}",
    ),
]
AlertName = Annotated[str, matching(r"[A-Z][A-Za-z0-9]*", "an alert; write it like HighErrorRate")]
SignalName = Annotated[str, matching(r"[a-z][a-z0-9_]*", "a signal; write it like leads_per_hour")]
StageName = Annotated[str, matching(r"[a-z][a-z0-9-]*", "a stage; write it like canary-10")]
IncidentType = Annotated[str, matching(r"[a-z][a-z0-9_]*", "an incident type; write it like deployment_failure")]
Channel = Annotated[str, matching(r"[a-z][a-z0-9_-]*", "a channel; write it like slack or slack-critical")]
Severity = Annotated[str, _one_of(SEVERITIES, "severity")]
Action = Annotated[str, _one_of(ACTIONS, "action")]
