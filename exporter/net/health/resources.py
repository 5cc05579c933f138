"""What a health body says of uptime, memory, processor and traffic, in base units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from deploywatch.config import Settings
from deploywatch.exporter.measure import families
from deploywatch.exporter.net.health.checks import span
from deploywatch.exporter.probing.measurement import Measurement
from deploywatch.exporter.results import Dropped, Family

# A load above this is no load, but a number that means something else.
# More processors than any machine has: a percentage beyond is a body in another unit.
_CPUS = 4096
_SECONDS: Mapping[str, float] = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600}
_BYTES: Mapping[str, float] = {
    "": 1, "b": 1, "byte": 1, "bytes": 1,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_PERCENT = frozenset({"percent", "%"})


class HealthUnits(Settings):
    """The units of what a health body says; `us` is processor time since the start, as Node's process.cpuUsage().

    `facts` are names at the top of the body that are no checks, whatever stands there.
    """

    uptime: Literal["s", "ms"] = "s"
    cpu: Literal["percent", "ratio", "us"] = "percent"
    errors: Literal["ratio", "percent"] = "ratio"
    facts: tuple[str, ...] = ()


def uptime(body: Mapping[str, Any], units: HealthUnits, measurement: Measurement) -> float | None:
    """Seconds since the service began; what cannot be that is counted."""
    given, observed = body.get("uptime"), _observed(body, "uptime")
    seconds: float | None = None
    if given is not None:
        number = _number(given)
        seconds = number * _SECONDS[units.uptime] if number is not None else span(str(given))
    elif observed:
        seconds = observed[0] * _SECONDS.get(observed[1], math.nan)
    if given is None and observed is None:
        return None
    if seconds is None or not 0 <= seconds < math.inf:
        measurement.dropped[Dropped.IMPLAUSIBLE_VALUE] += 1
        return None
    return seconds


def resources(body: Mapping[str, Any], units: HealthUnits, measurement: Measurement) -> Iterator[tuple[Family, float]]:
    """What the body says of the rest, at its top or under `metrics`; what cannot be is counted."""
    for value, family, factor, most in _candidates(body, units):
        number = _number(value)
        if value is None:
            continue
        # A value out of its bounds is mostly in another unit than the config says; a wrong number is worse than none.
        if number is not None and 0 <= number * factor <= most:
            yield family, number * factor
        else:
            measurement.dropped[Dropped.IMPLAUSIBLE_VALUE] += 1


def _candidates(body: Mapping[str, Any], units: HealthUnits) -> Iterator[tuple[Any, Family, float, float]]:
    """Each value with its family, its factor to the base unit, and the most that can be."""
    inner = body.get("metrics")
    metrics = {**body, **{str(key).lower(): value for key, value in inner.items()}} if isinstance(inner, dict) else body

    def first(*names: str) -> Any:
        return next((metrics[name] for name in names if metrics.get(name) is not None), None)

    memory, share = first("memoryusage"), first("memory_percent")
    if isinstance(memory, Mapping):
        memory = memory.get("rss", memory.get("heapUsed"))
    used, load = _observed(body, "memory:utilization"), _observed(body, "cpu:utilization")
    if used and used[1] in _PERCENT:
        share = used[0]
    elif used:
        memory = used[0] * _BYTES.get(used[1], math.nan)
    given = first("memory_bytes")
    yield given if given is not None else memory, families.APPLICATION_MEMORY, 1, math.inf
    yield share, families.APPLICATION_MEMORY_RATIO, 0.01, 1
    if load:
        yield load[0] if load[1] in _PERCENT else math.nan, families.APPLICATION_CPU, 0.01, _CPUS
    elif units.cpu == "us":
        yield _processor_time(first("cpu_us", "cpuusage")), families.APPLICATION_CPU_SECONDS, 1e-6, math.inf
    else:
        factor = 0.01 if units.cpu == "percent" else 1.0
        yield first("cpu_percent", "cpuusage"), families.APPLICATION_CPU, factor, _CPUS
    yield first("active_connections", "activeconnections"), families.APPLICATION_CONNECTIONS, 1, math.inf
    yield first("requests_per_minute", "requestsperminute"), families.APPLICATION_REQUESTS, 1 / 60, math.inf
    errors = 0.01 if units.errors == "percent" else 1.0
    yield first("error_ratio", "errorrate"), families.APPLICATION_ERRORS, errors, 1


def _processor_time(value: Any) -> Any:
    """Node's process.cpuUsage() is {user, system}; a service may say one of them, or both together."""
    if not isinstance(value, Mapping):
        return value
    user, system = _number(value.get("user")), _number(value.get("system"))
    return value if user is None or system is None else user + system


def _observed(body: Mapping[str, Any], name: str) -> tuple[float, str] | None:
    """A measurement of IETF's `checks`: its value and its unit."""
    checks = body.get("checks")
    entries = checks.get(name) if isinstance(checks, Mapping) else None
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], Mapping):
        return None
    value = _number(entries[0].get("observedValue"))
    return None if value is None else (value, str(entries[0].get("observedUnit", "")).lower())


def _number(value: Any) -> float | None:
    """A number, also one that is written as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None
