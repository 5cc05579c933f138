"""What a Prometheus has that a policy could be about: counters of requests, histograms, labels, services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from deploywatch.errors import DeploywatchError
from deploywatch.prometheus import Prometheus
from deploywatch.rules.live.presence import by_label, counted

# In the order of how surely they count a service's own requests; proxies and meshes come after its libraries.
KNOWN_REQUESTS = (
    "http_requests_total",
    "http_server_requests_total",
    "http_server_request_duration_seconds_count",
    "http_server_requests_seconds_count",
    "http_request_duration_seconds_count",
    "istio_requests_total",
    "nginx_ingress_controller_requests",
    "traefik_service_requests_total",
    "http_server_duration_milliseconds_count",
)
"""Counters that well-known libraries and proxies expose, those that are meant first."""

STATUS = ("status", "code", "status_code", "http_status_code", "http_response_status_code", "response_code")
SERVICE = ("service", "service_name", "app", "app_kubernetes_io_name", "application", "exported_service", "job")
ENVIRONMENT = ("environment", "env", "deployment_environment", "deployment_environment_name", "stage", "namespace")
UNTOLD = "default"
"""What the exporter and the receiver call the environment of what names none."""

_UNITS = (("_seconds", "s"), ("_milliseconds", "ms"), ("_ms", "ms"), ("_microseconds", "us"), ("_nanoseconds", "ns"))
_CODE = re.compile(r"[1-5]([0-9][0-9]|xx)")
_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_MOST_SERVICES = 30
_LONGEST_NAME = 200
"""Characters of a service's or an environment's name that is drafted."""
_LONGEST = Decimal(10) ** 15
"""A bound beyond it, eleven days of nanoseconds, is none of a request's; an exponent's digits would fill the memory."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter of requests, and its label of outcomes; `classes` when that says 5xx and not 500."""

    metric: str
    status: str
    classes: bool


@dataclass(frozen=True, slots=True)
class Timed:
    """Durations and their unit, as a histogram's bounds as they are written there, a summary's quantiles, or native.

    What has none of these has a sum and a count, and so a mean.
    """

    metric: str
    unit: str
    bounds: tuple[Decimal, ...] = ()
    quantiles: tuple[Decimal, ...] = ()
    native: bool = False

    @property
    def main(self) -> str:
        """The series of it whose labels tell services apart."""
        if self.bounds:
            return f"{self.metric}_bucket"
        return self.metric if self.native or self.quantiles else f"{self.metric}_count"

    @property
    def signal(self) -> str:
        """What can be asked of it: a summary has the quantiles that its client chose."""
        if self.bounds or self.native or Decimal("0.95") in self.quantiles:
            return "latency_p95"
        return "latency_p99" if Decimal("0.99") in self.quantiles else "latency_mean"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; `more` are metrics of Prometheus, our exporter and node_exporter that bear the same labels.

    `left_out` counts the services and environments that were found and are not drafted.
    """

    requests: Counted | None
    durations: Timed | None
    service: str
    environment: str
    services: tuple[str, ...]
    environments: tuple[str, ...]
    more: frozenset[str]
    left_out: int = 0


async def survey(prometheus: Prometheus) -> Survey:
    """Look around; DeploywatchError, which says what was looked for, where there is nothing to make a policy of."""
    # A target may call its metrics anything, and their names stand in queries and in the draft.
    names = [name for name in await prometheus.label_values("__name__") if _NAME.fullmatch(name)]
    requests = await _requests(prometheus, names)
    durations = await _durations(prometheus, names, requests)
    # Services are told apart by the labels of what they are judged by.
    main = requests.metric if requests else durations.main if durations else "up"
    if main not in names:
        raise DeploywatchError(
            f"there is no counter with a label of HTTP status codes ({', '.join(STATUS)}), no histogram or summary of "
            "durations, and no `up`: nothing that a policy could be about"
        )
    service = await _label(prometheus, main, SERVICE)
    environment = await _label(prometheus, main, ENVIRONMENT)
    if not service:
        raise DeploywatchError(
            f"{main} has none of the labels {', '.join(SERVICE)}, so that nothing tells services apart"
        )
    services, more_services = await _values(prometheus, service, main)
    environments, more_environments = await _values(prometheus, environment, main) if environment else ((), 0)
    if not services:
        raise DeploywatchError(f"each value of {main}'s label {service} has more than {_LONGEST_NAME} characters")
    return Survey(
        requests,
        durations,
        service,
        environment,
        services,
        environments,
        frozenset(await _more(prometheus, names, (service, environment))),
        more_services + more_environments,
    )


async def _requests(prometheus: Prometheus, names: Sequence[str]) -> Counted | None:
    others = [name for name in names if name.endswith("_total") and re.search("request|http|rpc", name)]
    for metric in [*(name for name in KNOWN_REQUESTS if name in names), *others]:
        for label in STATUS:
            values = [value for value in await by_label(prometheus, label, metric) if value]
            # A label is called `code` for many things; by its values it is a status code or is not.
            if values and all(_CODE.fullmatch(value) for value in values):
                return Counted(metric, label, all(value.endswith("xx") for value in values))
    return None


async def _durations(prometheus: Prometheus, names: Sequence[str], requests: Counted | None) -> Timed | None:
    bases = {re.sub("_(bucket|count)$", "", name) for name in names}
    timed = [base for base in bases if _unit(base) and re.search("request|http|response|latency", base)]
    stem = re.sub(r"(_requests?)?_(total|count)$", "", requests.metric) if requests else ""
    found = None
    for base in sorted(timed, key=lambda name: (not stem or not name.startswith(stem), len(name), name)):
        one = await durations_of(prometheus, names, base)
        # A mean hides the slow ones: whatever has quantiles comes first.
        if one is not None and one.signal != "latency_mean":
            return one
        found = found or one
    return found


async def durations_of(prometheus: Prometheus, names: Sequence[str], base: str) -> Timed | None:
    """What there is of these durations; None where it is none, as of a gauge."""
    unit = _unit(base)
    if f"{base}_bucket" in names:
        bounds = sorted(set(_finite(await by_label(prometheus, "le", f"{base}_bucket"))))
        return Timed(base, unit, bounds=tuple(bounds)) if bounds else None
    if base in names:
        if await counted(prometheus, f"count(histogram_count({base}))"):
            return Timed(base, unit, native=True)
        if quantiles := sorted(set(_finite(await by_label(prometheus, "quantile", base)))):
            return Timed(base, unit, quantiles=tuple(quantile for quantile in quantiles if quantile <= 1))
    return Timed(base, unit) if {f"{base}_sum", f"{base}_count"} <= set(names) else None


def _unit(base: str) -> str:
    return next((unit for suffix, unit in _UNITS if base.endswith(suffix)), "")


async def _label(prometheus: Prometheus, metric: str, known: Iterable[str]) -> str:
    """The first of these labels that all series of the metric bear."""
    for label in known:
        values = await by_label(prometheus, label, metric)
        if values and "" not in values:
            return label
    return ""


async def _values(prometheus: Prometheus, label: str, metric: str) -> tuple[tuple[str, ...], int]:
    """The label's values that have most series, sorted, and how many more there are."""
    counts = await by_label(prometheus, label, metric)
    values = [value for value in counts if value]
    named = sorted(
        (value for value in values if len(value) <= _LONGEST_NAME), key=lambda value: (-counts[value], value)
    )[:_MOST_SERVICES]
    return tuple(sorted(named)), len(values) - len(named)


async def _more(prometheus: Prometheus, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    wanted = ("up", "probe_success", "node_cpu_seconds_total", "node_memory_MemAvailable_bytes")
    series = []
    for metric in (candidate for candidate in wanted if candidate in names):
        own = ("service", "environment") if metric == "probe_success" else labels
        borne = [await by_label(prometheus, label, metric) for label in own if label]
        # Ours bear an environment always, and would be about another one than series without any.
        unlike = metric == "probe_success" and not labels[1] and UNTOLD not in borne[1]
        if all(any(value for value in values) for values in borne) and not unlike:
            series.append(metric)
    return series


def _finite(texts: Iterable[str]) -> Iterable[Decimal]:
    for text in texts:
        try:
            number = Decimal(text)
        except InvalidOperation:
            continue
        if number.is_finite() and 1 / _LONGEST < number < _LONGEST:
            yield number.normalize()
