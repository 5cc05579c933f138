"""What a probe gives: a frozen Result with a bounded Reason, and the samples that it measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple


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
    PROXY = "proxy"
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
    UNSUPPORTED = "unsupported"
    CONFIG = "config"
    DEADLINE = "deadline"
    INTERNAL = "internal"


class Dropped(StrEnum):
    """What a run left out of its measurements without failing; the only words in the label `reason` of that counter."""

    LABEL_CUT = "label_cut"
    DETAIL_CUT = "detail_cut"
    NULL_VALUE = "null_value"
    IMPLAUSIBLE_VALUE = "implausible_value"
    CHECK_LIMIT = "check_limit"
    UNREAD_CHECK = "unread_check"
    TRUNCATED_ANSWER = "truncated_answer"
    REPEATED_SERIES = "repeated_series"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: its name, its type, and its help text."""

    name: str
    type: Literal["gauge", "counter", "histogram"]
    help: str

    def __hash__(self) -> int:
        """By the name alone, which a run asks for some thirty times."""
        return hash(self.name)


class Sample(NamedTuple):
    """One number of a family; `suffix` is `_bucket`, `_sum` or `_count` in a histogram.

    `labels` are those beside the labels of the target.
    """

    family: Family
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""


class State(StrEnum):
    """What a service says of itself, from best to worst; a degraded one still serves."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Application:
    """What a service says of itself in its health body: `status` is its word; `uptime` in seconds."""

    status: str | None = None
    version: str | None = None
    uptime: float | None = None
    checks: Mapping[str, str] | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of a flow: it succeeded when it has no reason to the contrary; `duration` in seconds."""

    name: str
    duration: float
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one probe; it succeeded when there is no reason to the contrary.

    `started` is Unix time and `duration` seconds; `detail` is free text for logs and health answers, never a label.
    `remarks` say what was done otherwise than was asked for, and are part of the detail of a run that failed.
    """

    started: float
    duration: float
    reason: Reason | None = None
    detail: str = ""
    samples: tuple[Sample, ...] = ()
    application: Application | None = None
    dropped: Mapping[Dropped, int] = field(default_factory=dict)
    steps: tuple[StepResult, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def success(self) -> bool:
        """Whether everything was as it must be."""
        return self.reason is None

    @property
    def says(self) -> str | None:
        """What a service says that is degraded and serves all the same; None of any other."""
        degraded = self.success and self.application is not None and self.application.state is State.DEGRADED
        return (self.application.status if self.application else None) if degraded else None


class Failed(Exception):  # noqa: N818 - a verdict on what was probed, not an error of ours
    """A probe's verdict that something is not well: a bounded reason, and a detail for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def let_go(error: BaseException) -> None:
    """Free what an error has seen: a frame that keeps its own error is a circle, with all that the probe knew in it."""
    seen: list[BaseException] = [error]
    while seen:
        error = seen.pop()
        seen += [other for other in (error.__cause__, error.__context__) if other is not None]
        seen += error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error.__cause__ = error.__context__ = error.__traceback__ = None


class Failures:
    """What has failed while the rest is still tried: every query, gauge or step has its turn."""

    def __init__(self) -> None:
        self._failed: list[tuple[str, Failed]] = []

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Keeps the Failed of one part, whose `name` its detail bears, and lets the others go on."""
        try:
            yield
        except Failed as failed:
            self._failed.append((name, failed))

    def settle(self) -> None:
        """Raises the first failure, with the names of the others; nothing when there is none."""
        if not self._failed:
            return
        (_, first), *others = self._failed
        also = f"; also failed: {', '.join(name for name, _ in others)}" if others else ""
        raise Failed(first.reason, first.detail + also)


def iso(moment: float) -> str:
    """Unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
