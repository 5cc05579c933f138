"""A first policy, drafted from what a Prometheus has; its limits leave today's values room, and say what these are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from deploywatch.prometheus import Prometheus
from deploywatch.quantity import Quantity, Unit
from deploywatch.rules.live.survey import UNTOLD, Counted, Survey, Timed
from deploywatch.terminal import as_json

_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_LIMITS = tuple(Decimal(text) / 100 for text in ("1", "2", "5", "10", "20", "50"))
_NAMED = 3
_ROUND = tuple(Quantity(Decimal(text), Unit.SECONDS) for text in ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"))
"""Limits of durations that need no bucket."""
_WORDS = {"latency_p95": "p95", "latency_p99": "p99", "latency_mean": "mean"}
_ROOM = 2
"""A limit is at least so many times the worst of the last day."""


@dataclass(frozen=True, slots=True)
class Today:
    """The worst service's figures over the last day, each None where there is none."""

    failing: float | None
    slow: float | None
    """By the signal that there is of durations, in seconds."""


async def today(prometheus: Prometheus, survey: Survey) -> Today:
    """Ask for the figures that limits are chosen by."""
    by = ", ".join(label for label in (survey.service, survey.environment) if label)
    failing = slow = None
    if survey.requests is not None:
        metric, status = survey.requests.metric, survey.requests.status
        bad = f'sum by ({by}) (rate({metric}{{{status}=~"5.*"}}[1d]))'
        failing = await _most(prometheus, f"max({bad} / sum by ({by}) (rate({metric}[1d])))")
    if survey.durations is not None:
        slow = await _most(prometheus, _slowest(survey.durations, by))
        slow = None if slow is None else slow / _PER_SECOND[survey.durations.unit]
    return Today(failing, slow)


def _slowest(durations: Timed, by: str) -> str:
    """The expression of the slowest service's figure."""
    metric = durations.metric
    if durations.bounds or durations.native:
        rate = f"sum by ({by}) (rate({metric}[1d]))"
        if durations.bounds:
            rate = f"sum by ({by}, le) (rate({metric}_bucket[1d]))"
        return f"max(histogram_quantile(0.95, {rate}) >= 0)"
    if durations.signal == "latency_mean":
        return f"max(sum by ({by}) (rate({metric}_sum[1d])) / sum by ({by}) (rate({metric}_count[1d])) >= 0)"
    share = _WORDS[durations.signal].removeprefix("p")
    return f'max(max_over_time({metric}{{quantile="0.{share}"}}[1d]) >= 0)'


def draft(survey: Survey, now: Today, *, name: str, url: str) -> str:
    """The policy's text: it loads and builds as it is."""
    return "\n".join(
        [*_head(survey, name), *_series(survey), *_selectors(survey), *_rest(url), *_alerts(survey, now), ""]
    )


def _head(survey: Survey, name: str) -> Iterator[str]:
    yield "# Drafted by `deploywatch rules init` from what Prometheus has: the limits are guesses, which today's values"
    yield "# keep. Read each, put your own in its place, and say in `sources` who agreed on it."
    yield f"policy: {name}"
    more = " and others" if len(survey.services) > _NAMED else ""
    names = ", ".join(survey.services[:_NAMED])
    yield f"about: {_text(f'{names}{more}.')}"
    yield ""
    yield "sources:"
    yield "  today:"
    yield "    title: Values of the day on which this policy was drafted"
    yield ""


def _series(survey: Survey) -> Iterator[str]:
    yield "series:"
    if survey.requests is not None:
        yield from _requests(survey.requests)
        yield from _labels(survey)
    if survey.durations is not None:
        yield from _durations(survey.durations)
        yield from _labels(survey)
    for metric, key in (
        ("up", "targets"),
        ("node_cpu_seconds_total", "cpu"),
        ("node_memory_MemAvailable_bytes", "memory"),
    ):
        if metric in survey.more:
            yield f"  {key}:"
            yield f"    metric: {metric}"
            yield from _labels(survey)
    yield ""


def _requests(requests: Counted) -> Iterator[str]:
    yield "  requests:"
    yield f"    metric: {requests.metric}"
    yield f"    status: {requests.status}"
    yield f"    errors: {'5xx' if requests.classes else '5..'}"
    if requests.classes:
        yield "    failing: 5xx"
        yield "    passing: 2xx"


def _durations(durations: Timed) -> Iterator[str]:
    yield "  durations:"
    yield f"    metric: {durations.metric}"
    if durations.bounds:
        yield f"    buckets: [{', '.join(str(bound) for bound in _bounds(durations))}]"
    if durations.quantiles:
        yield f"    quantiles: [{', '.join(f'{share:f}' for share in durations.quantiles)}]"
    if durations.native:
        yield "    native: true"
    yield f"    unit: {durations.unit}"


def _labels(survey: Survey) -> Iterator[str]:
    environment = survey.environment or f"{{always: {UNTOLD}}}"
    yield f"    labels: {{service: {survey.service}, environment: {environment}}}"


def _selectors(survey: Survey) -> Iterator[str]:
    yield "selectors:"
    yield f"  service: [{', '.join(_text(service) for service in survey.services)}]"
    if survey.environment:
        yield f"  environment: [{', '.join(_text(environment) for environment in survey.environments)}]"
    else:
        yield "  # No label tells environments apart. This is what deploywatch's other parts call one without a name."
        yield f"  environment: {UNTOLD}"
    if survey.left_out:
        yield f"  # {survey.left_out} more were found, of fewer series or with too long a name: add those of yours."
    yield ""


def _rest(url: str) -> Iterator[str]:
    yield "interval: 30s"
    yield "window: 5m"
    yield ""
    yield "receiver:"
    yield f"  url: {url}"
    yield ""
    yield "alerts:"


def _of_resources(survey: Survey) -> Iterator[str]:
    if "node_cpu_seconds_total" in survey.more:
        summary = "The processors of {service} in {environment} are {value} busy"
        yield from _alert("HighCpu", "cpu > 90%", "10m", "medium", "resource_utilization", summary)
    if "node_memory_MemAvailable_bytes" in survey.more:
        summary = "{service} in {environment} has taken {value} of its memory"
        yield from _alert("HighMemory", "memory > 90%", "10m", "medium", "resource_utilization", summary)


def _alerts(survey: Survey, now: Today) -> Iterator[str]:
    missing = []
    if survey.requests is not None:
        yield from _errors(now)
        missing.append("missing(throughput)")
    if survey.durations is not None:
        yield from _slow(survey.durations, now)
    if "up" in survey.more:
        summary = "{service} in {environment} does not answer Prometheus"
        yield from _alert("ServiceDown", "service_up == 0", "1m", "critical", "service_down", summary)
    if "probe_success" in survey.more:
        summary = "Probe {probe} of {service} in {environment} fails"
        yield from _alert("ProbeFails", "health == 0", "2m", "high", "health_check_failure", summary)
        missing.append("missing(availability)")
    yield from _of_resources(survey)
    if missing:
        summary = "Nobody measures all of {service} in {environment}"
        yield from _alert("MetricsMissing", " or ".join(missing), "10m", "medium", "monitoring_failure", summary)


def _errors(now: Today) -> Iterator[str]:
    worst = Decimal(str(now.failing or 0)) * _ROOM
    limit = next((candidate for candidate in _LIMITS if candidate >= worst), None)
    if limit is None:
        yield f"  # At least one service fails {(now.failing or 0):.1%} of its requests: no limit has room above that."
        limit = _LIMITS[-1]
    seen = f"the worst service failed {(now.failing or 0):.3%} of its requests"
    summary = "{service} in {environment} fails {value} of its requests"
    when = f"error_ratio > {Quantity(limit, Unit.RATIO)}"
    yield from _alert("HighErrorRate", when, "2m", "critical", "deployment_failure", summary, seen)


def _slow(durations: Timed, now: Today) -> Iterator[str]:
    figure = _WORDS[durations.signal]
    limits = _bounds(durations) if durations.bounds else _ROUND
    wanted = Decimal(str(now.slow or 0)) * _ROOM
    limit = next((bound for bound in limits if bound.value >= wanted and bound.value), None)
    if limit is None:
        more = ", and no bucket lies far enough above it to have room: add buckets" if durations.bounds else ""
        yield f"  # The {figure} is {now.slow:g} s today{more}."
        limit = limits[-1]
    seen = "nothing was asked" if now.slow is None else f"the slowest service had a {figure} of {now.slow:.3g} s"
    summary = "{service} in {environment} is slow: {value}"
    when = f"{durations.signal} > {limit}"
    yield from _alert("Slow", when, "5m", "high", "performance_degradation", summary, seen)


def _alert(  # noqa: PLR0917 - the lines of an alert, in their order
    name: str, when: str, wait: str, severity: str, kind: str, summary: str, seen: str = "chosen, not measured"
) -> Iterator[str]:
    yield f"  - alert: {name}"
    yield f"    when: {when}"
    yield f"    for: {wait}"
    yield f"    severity: {severity}"
    yield f"    incident_type: {kind}"
    yield "    action: notify"
    yield f'    summary: "{summary}"'
    yield f'    source: {{today: "{seen}"}}'
    yield ""


def _bounds(durations: Timed) -> Sequence[Quantity]:
    """The bounds in seconds; those that a policy cannot write, finer than a microsecond, are left out."""
    seconds = [bound / _PER_SECOND[durations.unit] for bound in durations.bounds]
    return [Quantity(bound, Unit.SECONDS) for bound in seconds if bound * 1_000_000 == int(bound * 1_000_000)]


def _text(value: str) -> str:
    """As YAML, of which JSON is a part: a label's value may be anything, and is no YAML of the policy's."""
    return as_json(value)


async def _most(prometheus: Prometheus, expression: str) -> float | None:
    series = await prometheus.query(expression)
    return next((sample.value for sample in series if sample.value == sample.value), None)
