"""What a service says of its own health, in the forms that people have.

They are IETF's health+json (draft-inadarei-api-health-check-06), Spring Boot Actuator's, ASP.NET Core's (as text, and
as its UI client writes it), MicroProfile Health's, NestJS Terminus's, and those of sources 000, 003 and 004. A body
that does not say that the service is well is that of a service that is not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from deploywatch.config import Settings
from deploywatch.exporter.measure import families
from deploywatch.exporter.probing import Measurement
from deploywatch.exporter.results import Application, Dropped, Failed, Family, Reason, State

WORDS: Mapping[str, State] = {
    **dict.fromkeys(
        ("healthy", "ok", "up", "pass", "passing", "passed", "good", "alive", "ready", "running", "success", "true"),
        State.HEALTHY,
    ),
    **dict.fromkeys(("degraded", "warn", "warning"), State.DEGRADED),
    **dict.fromkeys(
        ("unhealthy", "fail", "failing", "failed", "down", "error", "critical", "out_of_service"), State.UNHEALTHY
    ),
}
"""What a service may say; another word means that it is not well."""

CHECK_LIMIT = 100
# Health bodies of the usual frameworks nest less deep.
_DEPTH = 4
_LONGEST_WORD = 64
# A load above this is no load, but a number that means something else.
_CPUS = 4096
_CHECKS = ("dependencies", "components", "details", "entries", "results", "checks")
_ERRORS = ("error", "output", "message", "description", "exception")
_SPAN = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_NO_CHECK = frozenset({"status", "environment", "version", "service", "timestamp", "error", "mode", "stage"})
_SECONDS: Mapping[str, float] = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600}
_BYTES: Mapping[str, float] = {
    "": 1, "b": 1, "byte": 1, "bytes": 1,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


class HealthUnits(Settings):
    """The units of what a health body says; `us` is processor time since the start, as Node's process.cpuUsage()."""

    uptime: Literal["s", "ms"] = "s"
    cpu: Literal["percent", "ratio", "us"] = "percent"
    errors: Literal["ratio", "percent"] = "ratio"


def read(body: bytes) -> Any:
    """The document of a body in JSON, or of one that is a single word as ASP.NET's; Failed(json) for anything else."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        word = body[:_LONGEST_WORD].decode("utf-8", "replace").strip()
        if len(body) < _LONGEST_WORD and word.lower() in WORDS:
            return {"status": word}
        raise Failed(Reason.JSON, f"the body is not JSON: {error}") from error


def note_health(document: Any, units: HealthUnits, measurement: Measurement) -> None:
    """Add what a health body says to `measurement`; Failed(unhealthy) when it does not say that the service is well."""
    if not isinstance(document, dict):
        raise Failed(Reason.JSON, "the body is JSON, but not an object as a health body is")
    body = {str(key).lower(): value for key, value in document.items()}
    state = state_of(body["status"]) if "status" in body else State.UNHEALTHY
    checks = _checks(body, measurement)
    bad = [name for name, word in checks.items() if state_of(word) is State.UNHEALTHY]
    # A body that says it is well, and of a part that it is not, is believed in neither.
    word = str(body["status"]) if body.get("status") is not None else None
    if bad and state is State.HEALTHY:
        state, word = State.DEGRADED, f"{word}, but not well: {', '.join(bad)}"
    version = next((body[key] for key in ("version", "releaseid") if body.get(key) is not None), None)
    uptime = _uptime(body, units)
    measurement.application = Application(
        state=state,
        status=measurement.label(word) if word is not None else None,
        version=measurement.label(str(version)) if version is not None else None,
        uptime=uptime,
        checks=checks,
    )
    for candidate in State:
        measurement.add(families.APPLICATION_STATUS, candidate is state, status=str(candidate))
    if measurement.application.version is not None:
        measurement.add(families.APPLICATION_INFO, 1, version=measurement.application.version)
    if uptime is not None:
        measurement.add(families.APPLICATION_UPTIME, uptime)
    for family, number in _resources(body, units, measurement):
        measurement.add(family, number)
    entries = dict(_entries(body))
    for name, word in checks.items():
        measurement.add(families.APPLICATION_CHECK, state_of(word) is not State.UNHEALTHY, check=name)
        took = _took(entries.get(name, {}))
        if took is not None:
            measurement.add(families.APPLICATION_CHECK_DURATION, took, check=name)
    if state is State.UNHEALTHY:
        raise Failed(Reason.UNHEALTHY, _explanation(body, checks, entries))


def _explanation(body: Mapping[str, Any], checks: Mapping[str, str], entries: Mapping[str, Mapping[str, Any]]) -> str:
    bad = [name + _because(entries.get(name, {})) for name, word in checks.items() if state_of(word) is State.UNHEALTHY]
    named = f" ({', '.join(bad)})" if bad else ""
    if body.get("status") is None:
        return f"the body has no status, so it does not say that the service is well{named}"
    error = body.get("error")
    return f"it says of itself: {body['status']}{named}" + (f": {error}" if isinstance(error, str) and error else "")


def _because(entry: Mapping[str, Any]) -> str:
    """What a check says is wrong, in the word that its form has for that."""
    details = entry.get("details")
    texts = (*(entry.get(key) for key in _ERRORS), details.get("error") if isinstance(details, Mapping) else None)
    return next((f": {text}" for text in texts if isinstance(text, str) and text), "")


def _entries(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The checks that are objects, by name; of several measurements under one name the first."""
    for key in _CHECKS:
        value = body.get(key)
        if isinstance(value, list):
            yield from ((str(e["name"]), e) for e in value if isinstance(e, Mapping) and "name" in e)
        elif isinstance(value, Mapping):
            for name, entry in value.items():
                first = entry[0] if isinstance(entry, list) and entry else entry
                if isinstance(first, Mapping):
                    yield str(name), first


def _took(entry: Mapping[str, Any]) -> float | None:
    """How long a check took, in seconds: milliseconds of source 004, a time span of ASP.NET, or IETF's responseTime."""
    milliseconds = _number(entry.get("responseTime"))
    if milliseconds is not None and milliseconds >= 0:
        return milliseconds / 1000
    span = _SPAN.fullmatch(str(entry.get("duration", "")))
    if span:
        hours, minutes, seconds = (float(part) for part in span.groups())
        return hours * 3600 + minutes * 60 + seconds
    return None


def state_of(word: Any) -> State:
    """The state that a word, or true or false, stands for."""
    return WORDS.get(str(word).strip().lower(), State.UNHEALTHY) if isinstance(word, (str, bool)) else State.UNHEALTHY


def _checks(body: Mapping[str, Any], measurement: Measurement) -> dict[str, str]:
    """Each check's name and word; the first CHECK_LIMIT of them, and how many more there were is counted."""
    words: dict[str, str] = {}
    for key in _CHECKS:
        for name, word in _walk(body.get(key), "", _DEPTH):
            # Of two checks with one name the worse counts.
            if name not in words or _worse(word, words[name]):
                words[name] = word
    for key, value in body.items():
        # Source 000: {"status": "Healthy", "database": "Healthy", "redis": "Healthy"}.
        if key not in _NO_CHECK and isinstance(value, str) and value.lower() in WORDS:
            words.setdefault(key, value)
    if len(words) > CHECK_LIMIT:
        measurement.dropped[Dropped.CHECK_LIMIT] += len(words) - CHECK_LIMIT
    # Should there be too many, those that are not well are kept.
    kept = sorted(words.items(), key=lambda item: state_of(item[1]) is not State.UNHEALTHY)[:CHECK_LIMIT]
    order = {name: number for number, name in enumerate(words)}
    named: dict[str, str] = {}
    for name, word in sorted(kept, key=lambda item: order[item[0]]):
        label = measurement.label(name)
        if label not in named or _worse(word, named[label]):
            named[label] = measurement.label(word)
    return named


def _walk(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    """The checks of a mapping by name, or of a list of objects that bear their names; nested ones as `db/primary`."""
    entries: list[tuple[str, Any]] = []
    if isinstance(value, list):
        entries = [(str(entry["name"]), entry) for entry in value if isinstance(entry, Mapping) and "name" in entry]
    elif isinstance(value, Mapping):
        entries = [(str(key), entry) for key, entry in value.items()]
    for name, entry in entries:
        path = f"{prefix}{name}"
        word = _word(entry)
        if word is not None:
            yield path, word
        if isinstance(entry, Mapping) and depth:
            for key in ("components", "checks"):
                yield from _walk(entry.get(key), f"{path}/", depth - 1)


def _word(entry: Any) -> str | None:
    """What a check says; of several measurements under one name the worst. None for what is no check."""
    if isinstance(entry, list):
        words = [word for part in entry if (word := _word(part)) is not None]
        return max(words, key=_badness, default=None)
    if not isinstance(entry, Mapping):
        return str(entry)
    named = {str(key).lower(): value for key, value in entry.items()}
    for key in ("status", "healthy", "ishealthy"):
        if key in named:
            return str(named[key])
    # IETF: a measurement without a status is for information; whatever else has none does not say that it is well.
    return None if "observedvalue" in named or "components" in named or "checks" in named else "unknown"


def _worse(word: str, other: str) -> bool:
    return _badness(word) > _badness(other)


def _badness(word: str) -> int:
    return list(State).index(state_of(word))


def _uptime(body: Mapping[str, Any], units: HealthUnits) -> float | None:
    number = _number(body.get("uptime"))
    if number is not None:
        return number * _SECONDS[units.uptime]
    observed = _observed(body, "uptime")
    return observed[0] * _SECONDS[observed[1]] if observed and observed[1] in _SECONDS else None


def _observed(body: Mapping[str, Any], name: str) -> tuple[float, str] | None:
    """A measurement of IETF's `checks`: its value and its unit."""
    checks = body.get("checks")
    entries = checks.get(name) if isinstance(checks, Mapping) else None
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], Mapping):
        return None
    value = _number(entries[0].get("observedValue"))
    return None if value is None else (value, str(entries[0].get("observedUnit", "")).lower())


def _resources(body: Mapping[str, Any], units: HealthUnits, measurement: Measurement) -> Iterator[tuple[Family, float]]:
    """What the body says of memory, processor and traffic, at its top or under `metrics`; what cannot be is counted."""
    for value, family, factor, most in _candidates(body, units):
        number = _number(value)
        if value is None:
            continue
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

    memory = first("memoryusage")
    if isinstance(memory, Mapping):
        memory = memory.get("rss", memory.get("heapUsed"))
    used, load = _observed(body, "memory:utilization"), _observed(body, "cpu:utilization")
    if used and used[1] in _BYTES:
        memory = used[0] * _BYTES[used[1]]
    given = first("memory_bytes")
    yield given if given is not None else memory, families.APPLICATION_MEMORY, 1, math.inf
    yield first("memory_percent"), families.APPLICATION_MEMORY_RATIO, 0.01, 1
    if load and load[1] in {"percent", "%"}:
        yield load[0], families.APPLICATION_CPU, 0.01, _CPUS
    elif units.cpu == "us":
        yield first("cpu_us", "cpuusage"), families.APPLICATION_CPU_SECONDS, 1e-6, math.inf
    else:
        factor = 0.01 if units.cpu == "percent" else 1.0
        yield first("cpu_percent", "cpuusage"), families.APPLICATION_CPU, factor, _CPUS
    yield first("active_connections", "activeconnections"), families.APPLICATION_CONNECTIONS, 1, math.inf
    yield first("requests_per_minute", "requestsperminute"), families.APPLICATION_REQUESTS, 1 / 60, math.inf
    errors = 0.01 if units.errors == "percent" else 1.0
    yield first("error_ratio", "errorrate"), families.APPLICATION_ERRORS, errors, 1


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
