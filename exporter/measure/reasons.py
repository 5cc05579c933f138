"""For which reasons a kind of probe can fail, so that each of its counters is there at 0 before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from deploywatch.exporter.results import Reason

_OF_ANSWERS = frozenset(
    {Reason.REDIRECT, Reason.STATUS, Reason.HEADER, Reason.JSON, Reason.UNHEALTHY, Reason.LATENCY, Reason.BODY}
)
_OF_DATABASES = frozenset({Reason.AUTH, Reason.QUERY, Reason.QUERY_TIMEOUT, Reason.UNAVAILABLE})
_OF_FEW = frozenset({Reason.EXPIRY, Reason.OCCUPIED, Reason.SKIPPED})
# Only /probe asks where it may connect to; what the schedule probes is the config's own affair.
_NEVER = frozenset({Reason.FORBIDDEN})
_IMPOSSIBLE: Mapping[str, frozenset[Reason]] = {
    "http": _OF_DATABASES | _OF_FEW,
    "tcp": (_OF_ANSWERS - {Reason.BODY}) | _OF_DATABASES | _OF_FEW | {Reason.VALUE},
    "tls": _OF_ANSWERS | _OF_DATABASES | (_OF_FEW - {Reason.EXPIRY}) | {Reason.VALUE, Reason.TOO_LARGE},
    "postgres": _OF_ANSWERS | _OF_FEW,
    "redis": _OF_ANSWERS | _OF_FEW | {Reason.QUERY_TIMEOUT},
    "flow": _OF_DATABASES | (_OF_FEW - {Reason.SKIPPED}),
}


@cache
def reasons_of(kind: str) -> tuple[Reason, ...]:
    """Every reason for which a scheduled probe of the kind can fail; of a kind that is not known here, every reason."""
    return tuple(reason for reason in Reason if reason not in _IMPOSSIBLE.get(kind, frozenset()) | _NEVER)
