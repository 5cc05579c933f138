"""Run one probe once: within its deadline, to a Result, whatever happens inside."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from deploywatch import logs
from deploywatch.clock import Clock
from deploywatch.config import Settings
from deploywatch.exporter.measure.gauges import LABEL_LIMIT, check_type
from deploywatch.exporter.measure.reasons import reasons_of
from deploywatch.exporter.results import (
    Application,
    Dropped,
    Failed,
    Family,
    Reason,
    Result,
    Sample,
    StepResult,
    let_go,
)
from deploywatch.quantity import Duration
from deploywatch.secrets import Masked, filled_of, found_in, is_url, redact_url, without
from deploywatch.terminal import visible

log = logs.get("exporter")

DETAIL_LIMIT = 1000
"""Characters of a detail that are kept; what was cut ends with an ellipsis."""

OWN = "probe_"
"""How the names of deploywatch's own measurements begin; a config's metrics never do."""

Allowed = Callable[[IPv4Address | IPv6Address], bool]
"""Whether a probe may connect to an address; asked after resolution, and again after each redirect."""


@dataclass(slots=True)
class Measurement:
    """What a probe has measured so far; it is kept when the probe fails or its time is up.

    Should the time run out, `stage` tells people what the probe was at, and `overdue` is the reason.
    Without `allowed` the probe may connect anywhere.
    """

    clock: Clock
    deadline: float
    allowed: Allowed | None = None
    stage: str = "start"
    overdue: Reason = Reason.DEADLINE
    application: Application | None = None
    samples: list[Sample] = field(default_factory=list)
    dropped: Counter[Dropped] = field(default_factory=Counter)
    steps: list[StepResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def label(self, text: str) -> str:
        """A label's value, cut at LABEL_LIMIT characters; that it was cut is counted."""
        if len(text) > LABEL_LIMIT:
            self.dropped[Dropped.LABEL_CUT] += 1
        return text[:LABEL_LIMIT]

    def add(self, family: Family, value: float, **labels: str) -> None:
        """Note a number."""
        self.samples.append(Sample(family, value, tuple(labels.items())))

    def remaining(self) -> float:
        """Seconds until the deadline; not below zero."""
        return max(0.0, self.deadline - self.clock.monotonic())

    @contextmanager
    def timed(self, stage: str, *, overdue: Reason = Reason.DEADLINE) -> Iterator[Callable[[], float]]:
        """Name the stage; the value that is given tells the seconds spent in it."""
        self.stage, self.overdue = stage, overdue
        begin = self.clock.monotonic()
        end: float | None = None

        def passed() -> float:
            return (self.clock.monotonic() if end is None else end) - begin

        yield passed
        end = self.clock.monotonic()
        self.overdue = Reason.DEADLINE


class Probe(Protocol):
    """One thing that can be measured."""

    async def measure(self, measurement: Measurement) -> None:
        """Add samples to `measurement`; raise Failed when something is not well."""
        ...


@runtime_checkable
class Settling(Protocol):
    """A probe that leaves something behind at the server, and knows when that is gone."""

    async def settled(self) -> None:
        """Wait until it is, but not long."""
        ...


class TargetKey(NamedTuple):
    """The key of a probe that holds its target, and what stands in for one in a module that has none."""

    name: str
    stand_in: str


_REQUIRED = frozenset({"postgres", "redis"})
_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}


class ProbeSettings(Settings):
    """What every kind of probe has in common in the config; `kind` tells them apart.

    `tags` choose probes for a check or a health answer: critical, smoke, integration, or words of the user's own.
    Without `required` databases and Redis are; `timeout` and `interval` are the layer's unless they are given.
    Each kind says where its target stands (`target_key`), or None where it cannot be given one.
    """

    target_key: ClassVar[TargetKey | None]

    kind: str
    layer: str = "immediate"
    tags: tuple[str, ...] = ()
    required: bool | None = None
    timeout: Duration | None = None
    interval: Duration | None = None

    @property
    def is_required(self) -> bool:
        """Whether a service cannot serve without what is probed: unless the config says so, its databases."""
        return self.kind in _REQUIRED if self.required is None else self.required

    def shown_target(self) -> str:
        """What is probed, for people, without credentials."""
        value = getattr(self, self.target_key.name, "") if self.target_key else ""
        text = value.get_secret_value() if isinstance(value, Masked) else str(value)
        return redact_url(text) if "://" in text or "@" in text else text

    def conceal(self, text: str) -> str:
        """The text without secrets, without what came from variables too; where the target is stays readable."""
        place = self.server() or ""
        hidden = (secret for secret in found_in(self) if not is_url(secret) and secret not in place)
        return without(text, frozenset(hidden))

    def server(self) -> str | None:
        """The host and port that a run connects to first, by which runs at once are bounded; None for several."""
        if self.target_key is None:
            return None
        value = getattr(self, self.target_key.name, "")
        return server_of(value.get_secret_value() if isinstance(value, Masked) else str(value))

    def reasons(self) -> tuple[Reason, ...]:
        """Every reason for which a scheduled run can fail."""
        return reasons_of(self.kind, self.impossible())

    def impossible(self) -> frozenset[Reason]:
        """The reasons of the kind for which a probe with these settings cannot fail."""
        return frozenset()

    @model_validator(mode="after")
    def _has_time(self) -> Self:
        for name, given in (("timeout", self.timeout), ("interval", self.interval)):
            if given is not None and given <= timedelta(0):
                raise ValueError(f"{name} must be more than 0s")
        return self

    @model_validator(mode="after")
    def _names_keep_their_promise(self) -> Self:
        for family in self.families():
            check_type(family)
        return self

    @abstractmethod
    def probe(self) -> Probe:
        """The probe that does what these settings say."""

    def with_target(self, target: str) -> Self:
        """The same probe of another target; ValueError, saying why, when it cannot be one."""
        raise ValueError(f"a probe of the kind {self.kind} cannot be given a target; {target!r} is one too many")

    def with_changes(self, **changes: Any) -> Self:
        """A validated copy; ValueError says what is wrong with a change."""
        kept = {name: getattr(self, name) for name in self.model_fields_set if name not in changes}
        try:
            return type(self).model_validate(kept | changes, context={"filled": filled_of(self)})
        except ValidationError as error:
            raise ValueError("; ".join(_fault(fault) for fault in error.errors(include_url=False))) from error

    def families(self) -> Iterable[Family]:
        """The metric families that these settings name beyond those of the kind."""
        return ()


def server_of(target: str) -> str | None:
    """The host and port of a URL or of `host:port`; None when they cannot be read."""
    parts = urlsplit(target if "://" in target else f"//{target}")
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return f"{parts.hostname}:{port}" if parts.hostname and port else None


def _fault(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


async def run(
    probe: Probe,
    *,
    limit: float,
    clock: Clock,
    allowed: Allowed | None = None,
    conceal: Callable[[str], str] = str,
) -> Result:
    """Run a probe for at most `limit` seconds; every error of its becomes a reason.

    With `allowed`, it connects only to addresses that this accepts, and fails as `forbidden` when there is none.
    `conceal` takes secrets out of what is said of the run.
    """
    started, begin = clock.now(), clock.monotonic()
    measurement = Measurement(clock, begin + limit, allowed)
    reason, detail = await _verdict(probe, measurement, limit)
    detail = visible(detail)
    samples, repeated = _unique(measurement)
    if repeated and reason is None:
        reason, detail = Reason.VALUE, f"there is more than one value for {repeated}; make its labels tell them apart"
    if reason is not None:
        detail = visible(conceal("; ".join([detail, *measurement.remarks])))
    if len(detail) > DETAIL_LIMIT:
        measurement.dropped[Dropped.DETAIL_CUT] += 1
        detail = detail[: DETAIL_LIMIT - 1] + "…"
    return Result(
        started=started,
        duration=clock.monotonic() - begin,
        reason=reason,
        detail=detail,
        samples=samples,
        application=_said(measurement.application),
        dropped=dict(measurement.dropped),
        steps=tuple(replace(step, detail=visible(conceal(step.detail))) for step in measurement.steps),
        remarks=tuple(visible(conceal(remark)) for remark in measurement.remarks),
    )


def _as_text(sample: Sample) -> Sample:
    """The sample with labels that everybody can see: services say some of them."""
    if all(value.isprintable() for _, value in sample.labels):
        return sample
    return replace(sample, labels=tuple((name, visible(value)) for name, value in sample.labels))


def _said(application: Application | None) -> Application | None:
    """What a service says of itself, as text that everybody can see."""
    if application is None:
        return None
    checks = application.checks and {visible(name): visible(word) for name, word in application.checks.items()}
    status, version = (text and visible(text) for text in (application.status, application.version))
    return replace(application, status=status, version=version, checks=checks)


def _unique(measurement: Measurement) -> tuple[tuple[Sample, ...], str | None]:
    """The samples with each series once, as a scrape needs it; and the first of the config's that was repeated."""
    kept: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    repeated: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    for sample in map(_as_text, measurement.samples):
        series = (sample.family.name, sample.labels)
        first = kept.setdefault(series, sample)
        own = sample.family.name.startswith(OWN)
        if first is sample or (own and first.value == sample.value):
            continue
        measurement.dropped[Dropped.REPEATED_SERIES] += 1
        if not own:
            repeated[series] = None
    for series in repeated:
        # Which of its values is right cannot be told, so it has none.
        del kept[series]
    names = (f"{name}{{{', '.join(f'{key}={value!r}' for key, value in labels)}}}" for name, labels in repeated)
    return tuple(kept.values()), next(names, None)


async def _verdict(probe: Probe, measurement: Measurement, limit: float) -> tuple[Reason | None, str]:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            await probe.measure(measurement)
    except Exception as error:
        verdict = _verdict_on(error, measurement, limit if scope.expired() else None)
        let_go(error)
        return verdict
    return None, ""


def _verdict_on(error: Exception, measurement: Measurement, overdue: float | None) -> tuple[Reason, str]:
    """What a probe's error means; `overdue` is the limit where that was over."""
    if isinstance(error, Failed):
        return error.reason, error.detail
    if overdue is not None:
        return measurement.overdue, f"not done within {overdue:g} s; it was at: {measurement.stage}"
    if isinstance(error, OSError):
        verdict = from_os_error(error)
        return verdict.reason, verdict.detail
    log.exception("a probe broke", stage=measurement.stage)
    return Reason.INTERNAL, f"{type(error).__name__} at: {measurement.stage}; see the log of the exporter"


def _verify_message(error: ssl.SSLCertVerificationError) -> str:
    """What OpenSSL says of the certificate; an error that was made by hand has none."""
    return str(getattr(error, "verify_message", ""))


def from_os_error(error: OSError) -> Failed:
    """The bounded reason of an error of the network."""
    text = error.strerror or str(error) or type(error).__name__
    match error:
        case socket.gaierror():
            return Failed(Reason.DNS, f"the name does not resolve: {text}")
        case ssl.SSLCertVerificationError():
            return Failed(Reason.TLS_VERIFY, f"the certificate is not trusted: {_verify_message(error) or text}")
        case ssl.SSLError():
            return Failed(Reason.TLS, f"no TLS connection: {getattr(error, 'reason', None) or text}")
        case OSError() if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
            # asyncio makes one error of several addresses', with their texts.
            return Failed(Reason.CONNECT_REFUSED, "the connection was refused")
        case TimeoutError():
            return Failed(Reason.CONNECT_TIMEOUT, "the connection timed out")
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return Failed(Reason.RESET, "the connection was reset")
        case _:
            return Failed(Reason.UNREACHABLE, f"cannot be reached: {text}")
