"""Kinds of values in a policy: names, waits, URLs, severities and actions; each says what is wrong with a bad one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from deploywatch.config import nearest
from deploywatch.conventions import SEVERITIES
from deploywatch.quantity import Duration

ACTIONS = ("rollback", "notify", "escalate", "investigate", "log", "scale", "ticket", "status_page", "run")
"""What the receiver can be asked to do about an alert."""

LONGEST_NAME = 27
"""A dashboard's uid is `deploywatch-` and the policy's name, and Grafana takes 40 characters."""


@dataclass(frozen=True, slots=True)
class Named:
    """Refuses a text that does not match all of the pattern, as no name for `what`; editors are told the pattern."""

    pattern: str
    what: str

    def check(self, value: str) -> str:
        """The value; ValueError where it does not match."""
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value!r} is no name for {self.what}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check, after the text has been read."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The pattern; a variable may stand in the name's place."""
        return {"type": "string", "pattern": rf"^({self.pattern})$|\$\{{[A-Za-z_]"}


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


def _enumerated(known: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(known)})


Wait = Annotated[Duration, AfterValidator(_whole_milliseconds)]
Period = Annotated[Wait, AfterValidator(_positive)]
Url = Annotated[str, AfterValidator(_http_url)]
_POLICY_NAME = rf"[a-z][a-z0-9-]{{0,{LONGEST_NAME - 1}}}"
PolicyName = Annotated[
    str, Named(_POLICY_NAME, f"a policy; use lower-case letters, digits and -, at most {LONGEST_NAME}")
]
AlertName = Annotated[str, Named(r"[A-Z][A-Za-z0-9]*", "an alert; write it like HighErrorRate")]
SignalName = Annotated[str, Named(r"[a-z][a-z0-9_]*", "a signal; write it like leads_per_hour")]
StageName = Annotated[str, Named(r"[a-z][a-z0-9-]*", "a stage; write it like canary-10")]
IncidentType = Annotated[str, Named(r"[a-z][a-z0-9_]*", "an incident type; write it like deployment_failure")]
Channel = Annotated[str, Named(r"[a-z][a-z0-9_-]*", "a channel; write it like slack or slack-critical")]
Severity = Annotated[str, _one_of(SEVERITIES, "severity"), _enumerated(SEVERITIES)]
Action = Annotated[str, _one_of(ACTIONS, "action"), _enumerated(ACTIONS)]
