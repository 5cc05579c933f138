"""For which reasons a kind of probe can fail, so that each of its counters is there at 0 before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from deploywatch.exporter.results import Reason

_OF_ANSWERS = frozenset(
    {Reason.REDIRECT, Reason.STATUS, Reason.HEADER, Reason.JSON, Reason.UNHEALTHY, Reason.LATENCY, Reason.BODY}
)
_OF_STATEMENTS = frozenset({Reason.AUTH, Reason.QUERY, Reason.QUERY_TIMEOUT})
_OF_DATABASES = _OF_STATEMENTS | {Reason.UNAVAILABLE}
_OF_FEW = frozenset({Reason.EXPIRY, Reason.OCCUPIED, Reason.SKIPPED})
_OF_PORTS = frozenset(
    {Reason.OCCUPIED, Reason.CONNECT_REFUSED, Reason.DEADLINE, Reason.UNREACHABLE, Reason.DNS, Reason.INTERNAL}
)
_OF_PROXIES = frozenset({Reason.PROXY})
_OF_MACHINES = frozenset({Reason.UNSUPPORTED})
_OF_OTHERS = _OF_PROXIES | _OF_MACHINES
_OF_STREAMS = frozenset({Reason.CONNECT_TIMEOUT, Reason.RESET, Reason.TLS, Reason.TLS_VERIFY, Reason.PROTOCOL})
# Only /probe asks where it may connect to; what the schedule probes is the config's own affair.
_NEVER = frozenset({Reason.FORBIDDEN, Reason.CONFIG})
_IMPOSSIBLE: Mapping[str, frozenset[Reason]] = {
    "http": (_OF_DATABASES - {Reason.AUTH}) | _OF_FEW | _OF_MACHINES,
    "tcp": (_OF_ANSWERS - {Reason.BODY}) | _OF_STATEMENTS | _OF_FEW | _OF_OTHERS | {Reason.VALUE},
    "unix": (_OF_ANSWERS - {Reason.BODY}) | _OF_DATABASES | _OF_FEW | _OF_OTHERS | {Reason.VALUE, Reason.DNS},
    "tls": _OF_ANSWERS | _OF_STATEMENTS | (_OF_FEW - {Reason.EXPIRY}) | _OF_OTHERS | {Reason.VALUE, Reason.TOO_LARGE},
    "postgres": _OF_ANSWERS | _OF_FEW | _OF_OTHERS,
    "redis": _OF_ANSWERS | _OF_FEW | _OF_OTHERS | {Reason.QUERY_TIMEOUT},
    "port": frozenset(Reason) - _OF_PORTS,
    "flow": (_OF_DATABASES - {Reason.AUTH}) | (_OF_FEW - {Reason.SKIPPED}) | _OF_MACHINES,
    "icmp": _OF_ANSWERS | _OF_DATABASES | _OF_FEW | _OF_PROXIES | _OF_STREAMS | {Reason.VALUE, Reason.TOO_LARGE},
    "dns": (_OF_ANSWERS - {Reason.STATUS, Reason.BODY}) | _OF_DATABASES | _OF_FEW | _OF_OTHERS | {Reason.VALUE},
    "grpc": (_OF_ANSWERS - {Reason.STATUS, Reason.UNHEALTHY})
    | {Reason.QUERY, Reason.QUERY_TIMEOUT, Reason.VALUE}
    | _OF_FEW
    | _OF_OTHERS,
}


@cache
def reasons_of(kind: str, impossible: frozenset[Reason] = frozenset()) -> tuple[Reason, ...]:
    """Every reason for which a scheduled probe of the kind can fail, but for those that its settings make `impossible`.

    Each is a line of every scrape, for every target; of a kind that is not known here, it is every reason.
    """
    never = _IMPOSSIBLE.get(kind, frozenset()) | _NEVER | impossible
    return tuple(reason for reason in Reason if reason not in never)
