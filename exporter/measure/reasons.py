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
_OF_PORTS = frozenset(
    {Reason.OCCUPIED, Reason.CONNECT_REFUSED, Reason.DEADLINE, Reason.UNREACHABLE, Reason.DNS, Reason.INTERNAL}
)
# Only /probe asks where it may connect to; what the schedule probes is the config's own affair.
_NEVER = frozenset({Reason.FORBIDDEN})
_IMPOSSIBLE: Mapping[str, frozenset[Reason]] = {
    "http": _OF_DATABASES | _OF_FEW,
    "tcp": (_OF_ANSWERS - {Reason.BODY}) | _OF_DATABASES | _OF_FEW | {Reason.VALUE},
    "tls": _OF_ANSWERS | _OF_DATABASES | (_OF_FEW - {Reason.EXPIRY}) | {Reason.VALUE, Reason.TOO_LARGE},
    "postgres": _OF_ANSWERS | _OF_FEW,
    "redis": _OF_ANSWERS | _OF_FEW | {Reason.QUERY_TIMEOUT},
    "port": frozenset(Reason) - _OF_PORTS,
    "flow": _OF_DATABASES | (_OF_FEW - {Reason.SKIPPED}),
}


@cache
def reasons_of(kind: str, impossible: frozenset[Reason] = frozenset()) -> tuple[Reason, ...]:
    """Every reason for which a scheduled probe of the kind can fail, but for those that its settings make `impossible`.

    Each is a line of every scrape, for every target; of a kind that is not known here, it is every reason.
    """
    never = _IMPOSSIBLE.get(kind, frozenset()) | _NEVER | impossible
    return tuple(reason for reason in Reason if reason not in never)
