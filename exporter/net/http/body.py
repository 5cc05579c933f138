"""What a JSON body says: gauges picked from it by path, and the health body {status, uptime, version, checks}."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploywatch.exporter.measure import families
from deploywatch.exporter.measure.gauges import LABEL_LIMIT
from deploywatch.exporter.net.http.assertions import find
from deploywatch.exporter.probing import Measurement
from deploywatch.exporter.results import Application, Failed, Family, Reason

GOOD_WORDS = frozenset({"healthy", "ok", "up", "pass", "passing", "good", "degraded", "warn", "warning"})
"""What a health body's `status` may say without failing the probe; a degraded service still serves."""

_CHECK_LIMIT = 100
_CPUS = 4096
_RESOURCES: tuple[tuple[str, Family, float, float], ...] = (
    # key, gauge, factor to its unit, the most that can be; camel case is source 004's, with its units.
    ("memory_bytes", families.APPLICATION_MEMORY, 1, math.inf),
    ("memory_percent", families.APPLICATION_MEMORY_RATIO, 0.01, 1),
    ("cpuUsage", families.APPLICATION_CPU, 0.01, _CPUS),
    ("cpu_percent", families.APPLICATION_CPU, 0.01, _CPUS),
    ("activeConnections", families.APPLICATION_CONNECTIONS, 1, math.inf),
    ("active_connections", families.APPLICATION_CONNECTIONS, 1, math.inf),
    ("requestsPerMinute", families.APPLICATION_REQUESTS, 1 / 60, math.inf),
    ("requests_per_minute", families.APPLICATION_REQUESTS, 1 / 60, math.inf),
    ("errorRate", families.APPLICATION_ERRORS, 1, 1),
    ("error_ratio", families.APPLICATION_ERRORS, 1, 1),
)
_TIME = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|us|µs)?")
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}


def parse(body: bytes) -> Any:
    """The JSON document of a body; Failed when it is none."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Failed(Reason.JSON, f"the body is not JSON: {error}") from error


def pick(document: Any, path: str) -> Iterator[tuple[str, float]]:
    """The number at a path such as `queues.0.length`; true and false are 1 and 0. Failed when there is none.

    With a `*` in the path, each number that is there with its key or position, at most 100 of them.
    """
    before, star, after = path.partition("*")
    if not star:
        yield "", _number_at(document, path)
        return
    holder = find(document, before.removesuffix(".")) if before else document
    entries = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else None
    if entries is None:
        raise Failed(
            Reason.VALUE, f"the body has neither a list nor an object at {before.removesuffix('.') or 'the top'}"
        )
    for key, value in list(entries)[:_CHECK_LIMIT]:
        yield str(key)[:LABEL_LIMIT], _number_at({"*": value}, f"*{after}")


def _number_at(document: Any, path: str) -> float:
    number = _number(find(document, path))
    if number is None:
        raise Failed(Reason.VALUE, f"the body has no number at {path}")
    return number


def note_health(document: Any, measurement: Measurement) -> None:
    """Add what a health body says to `found`; Failed(unhealthy) when its own status says so."""
    if not isinstance(document, dict):
        raise Failed(Reason.JSON, "the body is JSON, but not an object as a health body is")
    status, version, uptime = (document.get(key) for key in ("status", "version", "uptime"))
    checks = _checks(document.get("dependencies")) | _checks(document.get("checks"))
    measurement.application = Application(
        status=str(status)[:LABEL_LIMIT] if status is not None else None,
        version=str(version)[:LABEL_LIMIT] if version is not None else None,
        uptime=_number(uptime),
        checks=checks,
    )
    if measurement.application.version is not None:
        measurement.add(families.APPLICATION_INFO, 1, version=measurement.application.version)
    if measurement.application.uptime is not None:
        measurement.add(families.APPLICATION_UPTIME, measurement.application.uptime)
    for family, number in _resources(document):
        measurement.add(family, number)
    for name, word in checks.items():
        measurement.add(families.APPLICATION_CHECK, _good(word), check=name)
    if status is not None and not _good(str(status)):
        bad = [name for name, word in checks.items() if not _good(word)]
        raise Failed(Reason.UNHEALTHY, f"it says of itself: {status}" + (f" ({', '.join(bad)})" if bad else ""))


def _resources(document: Mapping[str, Any]) -> Iterator[tuple[Family, float]]:
    """What source 004's body says of memory, CPU and traffic, at its top or under `metrics`; but nothing absurd."""
    numbers = document.get("metrics")
    numbers = {**document, **numbers} if isinstance(numbers, Mapping) else document
    memory = numbers.get("memoryUsage")
    if isinstance(memory, Mapping):
        numbers = {**numbers, "memory_bytes": memory.get("rss", memory.get("heapUsed"))}
    for key, family, factor, most in _RESOURCES:
        number = _number(numbers.get(key))
        if number is not None and 0 <= number * factor <= most:
            yield family, number * factor


def served_time(header: str) -> float | None:
    """Seconds from an X-Response-Time header: `12ms`, `0.012s`, or `12.3`, which means milliseconds by custom."""
    match = _TIME.fullmatch(header.strip())
    return float(match["number"]) * _UNITS[match["unit"] or "ms"] if match else None


def _checks(value: Any) -> dict[str, str]:
    """Each check's name and word; a check may be a word, true or false, or an object with a `status`.

    Also as a list of objects with a `name`, as source 004 has its dependencies.
    """
    if isinstance(value, list):
        value = {entry["name"]: entry for entry in value if isinstance(entry, Mapping) and "name" in entry}
    if not isinstance(value, Mapping):
        return {}
    words: dict[str, str] = {}
    for name, check in list(value.items())[:_CHECK_LIMIT]:
        word = check.get("status") if isinstance(check, Mapping) else check
        words[str(name)[:LABEL_LIMIT]] = "healthy" if word is True else str(word)[:LABEL_LIMIT]
    return words


def _good(word: str) -> bool:
    return word.strip().lower() in GOOD_WORDS


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, int, float)):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
