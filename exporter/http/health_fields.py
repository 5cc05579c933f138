"""What a request about health may say, and fields of its answer that have no measurement of their own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deploywatch.exporter.health.probes import ProbeHealth, Status
from deploywatch.quantity import parse_duration

FRESH = "fresh"
"""The query's name that asks for runs that begin now."""
DEADLINE = 10.0
"""Seconds that `fresh=1` waits for runs that begin now, unless `deadline=` says otherwise."""
# Seconds; each caller holds a connection for as long as it waits.
_LONGEST = 300.0
# Metric names have no capital letters by our own convention, so a query cannot be called as the field is.
_TENANTS = ("tenants", "tenant_count", "tenants_count")


def bodies(probes: list[ProbeHealth]) -> list[dict[str, Any]]:
    return [{**probe.key._asdict(), **probe.body()} for probe in probes]


def serves(probe: ProbeHealth) -> bool:
    return probe.status in {Status.HEALTHY, Status.DEGRADED}


def tenant_count(probes: list[ProbeHealth]) -> dict[str, Any]:
    """Source 000's field: what a query that is called so counts."""
    counts = (probe.figures.get(name) for probe in probes for name in _TENANTS)
    count = next((count for count in counts if count is not None), None)
    return {} if count is None else {"tenantCount": int(count)}


def ping_time(probes: list[ProbeHealth]) -> dict[str, Any]:
    """Source 000's field: the slowest round trip of PING, in milliseconds."""
    slowest = max((probe.ping for probe in probes if probe.ping is not None), default=None)
    return {} if slowest is None else {"pingTime": round(slowest * 1000, 3)}


def is_fresh(request: web.Request) -> bool:
    """Whether what is asked for is to be probed now."""
    return request.query.get(FRESH, "") not in {"", "0", "false"}


def deadline_of(request: web.Request) -> float:
    """Seconds; 400 for what is no duration."""
    given = request.query.get("deadline")
    if given is None:
        return DEADLINE
    try:
        seconds = parse_duration(given).total_seconds()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"deadline: {error}\n") from error
    if not 0 < seconds <= _LONGEST:
        raise web.HTTPBadRequest(text=f"deadline: must be more than 0s and at most {_LONGEST:g}s\n")
    return seconds
