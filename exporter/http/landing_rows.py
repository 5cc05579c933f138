"""What the landing page says in each of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from deploywatch.exporter.board.history import Entry
from deploywatch.exporter.board.strip import Small
from deploywatch.exporter.health.probes import ProbeHealth, Status
from deploywatch.exporter.health.services import ServiceHealth
from deploywatch.exporter.http import pictures
from deploywatch.exporter.results import iso
from deploywatch.plurals import number_of

# A page of 5,000 rows is slow in a browser, and nobody reads it.
MOST_ROWS = 500
"""Probes on one page: a browser, and our event loop, have to live with it."""
WORST_FIRST = (Status.UNHEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.HEALTHY)


def to_the_second(moment: float) -> str:
    """Unix time to the second, for people."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}Z"


def ago(seconds: float) -> str:
    """How long, in the two largest units."""
    left = max(0, int(seconds))
    parts = [(left // 86400, "d"), (left // 3600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"


def worst_class(probes: list[ProbeHealth]) -> str:
    """The class of the worst status there is."""
    return str(min((probe.status for probe in probes), key=WORST_FIRST.index, default=Status.HEALTHY))


def says(probe: ProbeHealth) -> str:
    """What a service that is degraded says of itself."""
    application = probe.result.application if probe.result else None
    return f"it says: {application.status}" if probe.status is Status.DEGRADED and application else ""


def summary(probes: list[ProbeHealth], chosen: list[ProbeHealth]) -> str:
    numbers = {status: sum(probe.status is status for probe in probes) for status in WORST_FIRST}
    always = {Status.UNHEALTHY, Status.HEALTHY}
    counts = (f"{number} {status}" for status, number in numbers.items() if number or status in always)
    cut = f" The first {MOST_ROWS} of {len(chosen)} are shown." if len(chosen) > MOST_ROWS else ""
    return f"{number_of(len(probes), 'probe')}: {', '.join(counts)}.{cut}"


def result_rows(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "number": entry.number,
            "name": "/".join(entry.name),
            "kind": entry.kind,
            "status": status_of_entry(entry),
            "reason": f"{entry.result.reason}: {entry.result.detail}" if entry.result.reason else "",
            "took": f"{entry.result.duration * 1000:.1f} ms",
            "began": iso(entry.result.started),
        }
        for entry in entries
    ]


def status_of_entry(entry: Entry) -> Status:
    return Status.HEALTHY if entry.result.success else Status.UNHEALTHY


def element_id(kind: str, key: tuple[str, ...]) -> str:
    """An element's id, whatever stands in the names."""
    # A hash, as names have letters that an id in HTML or a selector in CSS may not have.
    return f"{kind}-{hashlib.sha256(repr(tuple(key)).encode()).hexdigest()[:16]}"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def short_run(result: Small, numbers: dict[float, int]) -> dict[str, Any]:
    return {
        "began": to_the_second(result.started),
        "took": milliseconds(result.duration),
        "words": pictures.WORDS[result.reason] if result.reason else "",
        "number": numbers.get(result.started),
    }


def service_row(service: ServiceHealth) -> dict[str, Any]:
    body = service.body()
    return {
        "id": element_id("service", service.key),
        "service": service.key.service,
        "environment": service.key.environment,
        "status": service.status,
        "version": body["version"],
        "uptime": body["uptime_seconds"],
        "well": sum(probe.status in {Status.HEALTHY, Status.DEGRADED} for probe in service.probes),
        "probes": len(service.probes),
        "dependencies": body["dependencies"],
        "dependents": list(service.dependents),
        "resources": service.resources,
    }
