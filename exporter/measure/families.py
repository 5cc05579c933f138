"""Every metric family that the exporter's probes and schedule expose, with its help text."""

from __future__ import annotations

from typing import Final

from deploywatch.conventions import ProbeMetric
from exporter.results import Family


def _gauge(name: str, text: str) -> Family:
    return Family(name, "gauge", text)


def _counter(name: str, text: str) -> Family:
    return Family(name, "counter", text)


# Every probe.
SUCCESS: Final = _gauge(ProbeMetric.SUCCESS, "Whether the probe succeeded.")
DURATION: Final = _gauge(ProbeMetric.DURATION, "How long the probe took, in seconds.")
FAILURE_INFO: Final = _gauge(ProbeMetric.FAILURE_INFO, "Why the last run failed; absent when it succeeded.")
LAST_RUN: Final = _gauge(ProbeMetric.LAST_RUN, "When the last run of the probe began, in Unix time.")
RUNS: Final = _counter(ProbeMetric.RUNS, "Runs of the probe that came to an end.")
FAILURES: Final = _counter(ProbeMetric.FAILURES, "Runs of the probe that failed, by reason.")
RUN_DURATION: Final = Family(
    ProbeMetric.RUN_DURATION,
    "histogram",
    "How long successful runs took, in seconds; divide by probe_runs_total for the share that was good and fast.",
)
DEPENDENCY: Final = _gauge(ProbeMetric.DEPENDENCY, "1 for each service that a service depends on.")

# http
DNS_LOOKUP: Final = _gauge(ProbeMetric.DNS_LOOKUP, "Time taken for the DNS lookup, in seconds.")
IP_PROTOCOL: Final = _gauge(ProbeMetric.IP_PROTOCOL, "Whether the probe went over IPv4 (4) or IPv6 (6).")
HTTP_DURATION: Final = _gauge(
    ProbeMetric.HTTP_DURATION, "Duration of the HTTP request by phase, summed over all redirects, in seconds."
)
HTTP_STATUS_CODE: Final = _gauge(ProbeMetric.HTTP_STATUS_CODE, "Status code of the last response; 0 without one.")
HTTP_VERSION: Final = _gauge(ProbeMetric.HTTP_VERSION, "HTTP version of the last response.")
HTTP_CONTENT_LENGTH: Final = _gauge(ProbeMetric.HTTP_CONTENT_LENGTH, "The Content-Length header; -1 without one.")
HTTP_BODY_LENGTH: Final = _gauge(
    ProbeMetric.HTTP_UNCOMPRESSED_BODY_LENGTH, "Bytes of the response's body that were read."
)
HTTP_REDIRECTS: Final = _gauge(ProbeMetric.HTTP_REDIRECTS, "Redirects that were followed.")
HTTP_SSL: Final = _gauge(ProbeMetric.HTTP_SSL, "Whether the last response came over TLS.")
HTTP_LAST_MODIFIED: Final = _gauge(ProbeMetric.HTTP_LAST_MODIFIED, "The Last-Modified header, in Unix time.")
FAILED_DUE_TO_REGEX: Final = _gauge(
    ProbeMetric.FAILED_DUE_TO_REGEX, "Whether the probe failed because of a regular expression."
)
SSL_EXPIRY: Final = _gauge(ProbeMetric.SSL_EARLIEST_CERT_EXPIRY, "When the earliest certificate expires, in Unix time.")
TLS_VERSION: Final = _gauge(ProbeMetric.TLS_VERSION_INFO, "The TLS version of the last response's connection.")
SERVED_RESPONSE_TIME: Final = _gauge(
    ProbeMetric.SERVED_RESPONSE_TIME, "The response time that the service itself reports, in seconds."
)
APPLICATION_INFO: Final = _gauge(ProbeMetric.APPLICATION_INFO, "The version that the service reports.")
APPLICATION_UPTIME: Final = _gauge(ProbeMetric.APPLICATION_UPTIME, "The uptime that the service reports, in seconds.")
APPLICATION_CHECK: Final = _gauge(
    ProbeMetric.APPLICATION_CHECK, "Whether a check that the service reports of itself is healthy."
)

# postgres
POSTGRES_CONNECT: Final = _gauge(
    ProbeMetric.POSTGRES_CONNECT, "Time to connect to PostgreSQL and authenticate, in seconds."
)
POSTGRES_SELECT: Final = _gauge(
    ProbeMetric.POSTGRES_SELECT, "Time that PostgreSQL took to answer SELECT 1, in seconds."
)
POSTGRES_QUERY: Final = _gauge(ProbeMetric.POSTGRES_QUERY, "Time that a query of the configuration took, in seconds.")

# redis
REDIS_CONNECT: Final = _gauge(ProbeMetric.REDIS_CONNECT, "Time to connect to Redis and authenticate, in seconds.")
REDIS_PING: Final = _gauge(ProbeMetric.REDIS_PING, "Round-trip time of PING, in seconds.")
REDIS_ROUND_TRIP: Final = _gauge(ProbeMetric.REDIS_ROUND_TRIP, "Time to SET a key and GET it back, in seconds.")

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
