"""How one service is at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """All that can be measured of a service in an environment; shares are of one, times in seconds, money in dollars.

    Of each figure the usual value is the default, which is well within every limit of the sources.
    """

    requests: float = 600.0
    """Requests a second, of all instances together."""
    failing: float = 0.0002
    """The share of requests that fail."""
    canary_failing: float | None = None
    """The share of the canary's requests that fail, where there is a canary."""
    canary_share: float = 0.1
    canary_slow: float = 0.004
    """The share of the canary's requests that take `slow_seconds`."""
    slow: float = 0.004
    """The share of requests that take `slow_seconds`; the others take `quick_seconds`."""
    slow_seconds: float = 0.4
    quick_seconds: float = 0.08
    queries_slow: float = 0.01
    """The share of database queries that take `query_seconds`; the others take 3 ms."""
    query_seconds: float = 0.04
    probes: float = 1.0
    """The share of probes that succeed: 1 or 0 for all, between them of two probes one fails."""
    probe_seconds: float = 0.05
    down: int = 0
    """Instances that do not answer Prometheus."""
    gone: int = 0
    """Instances that discovery does not know any more."""
    scraped: bool = True
    """Whether Prometheus itself is there."""
    cpu: float = 0.35
    memory: float = 0.55
    disk: float = 0.5
    disk_seconds: float = 0.004
    pool: float = 0.3
    queue: float = 40.0
    visits: float = 20.0
    converting: float = 0.04
    revenue: float = 20_000.0
    """An hour."""
    complaints: float = 4.0
    """An hour."""
    satisfaction: float = 4.6
    sessions: float = 300.0
    sessions_begun: float = 2.0
    """A second."""
    connections: float = 50.0
    dependency: float | None = 1.0
    """Whether what it depends on is well: 1 or 0; None while nobody probes it."""
    season: float = 1.0
    """By what traffic, and all that comes of it, is multiplied at this hour."""
