"""What a probe gives: a frozen Result with a bounded Reason, and the samples that it measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Reason(StrEnum):
    """Why a probe failed; the only words that may stand in the label `reason`."""

    DNS = "dns"
    FORBIDDEN = "forbidden"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    TLS_VERIFY = "tls_verify"
    TLS = "tls"
    EXPIRY = "expiry"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    STATUS = "status"
    HEADER = "header"
    BODY = "body"
    TOO_LARGE = "too_large"
    JSON = "json"
    UNHEALTHY = "unhealthy"
    LATENCY = "latency"
    AUTH = "auth"
    QUERY = "query"
    QUERY_TIMEOUT = "query_timeout"
    VALUE = "value"
    OCCUPIED = "occupied"
    SKIPPED = "skipped"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: its name, its type, and its help text."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a family; `suffix` is `_bucket`, `_sum` or `_count` in a histogram.

    `labels` are those beside the labels of the target.
    """

    family: Family
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """What a service says of itself in its health body; `uptime` in seconds."""

    status: str | None = None
    version: str | None = None
    uptime: float | None = None
    checks: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one probe; it succeeded when there is no reason to the contrary.

    `started` is Unix time and `duration` seconds; `detail` is free text for logs and health answers, never a label.
    """

    started: float
    duration: float
    reason: Reason | None = None
    detail: str = ""
    samples: tuple[Sample, ...] = ()
    application: Application | None = None

    @property
    def success(self) -> bool:
        """Whether everything was as it must be."""
        return self.reason is None


class Failed(Exception):  # noqa: N818 - a verdict on what was probed, not an error of ours
    """A probe's verdict that something is not well: a bounded reason, and a detail for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")
