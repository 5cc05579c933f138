"""Every metric family that the exporter's probes and schedule expose, with its help text."""

from __future__ import annotations

from typing import Final

from deploywatch.conventions import ProbeMetric
from deploywatch.exporter.results import Family


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
IP_ADDR_HASH: Final = _gauge(ProbeMetric.IP_ADDR_HASH, "A hash of the address, by which a change of it shows.")
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
SSL_CHAIN_EXPIRY: Final = _gauge(
    ProbeMetric.SSL_CHAIN_EXPIRY, "When the chain that leads to a trusted authority expires, in Unix time."
)
SSL_CHAIN_INFO: Final = _gauge(ProbeMetric.SSL_CHAIN_INFO, "The server's own certificate.")
TLS_VERSION: Final = _gauge(ProbeMetric.TLS_VERSION_INFO, "The TLS version of the last connection.")
TLS_CIPHER: Final = _gauge(ProbeMetric.TLS_CIPHER_INFO, "The TLS cipher suite of the last connection.")
TLS_VERIFY_FAILURE: Final = _gauge(ProbeMetric.TLS_VERIFY_FAILURE, "Why the server's certificate is not trusted.")
SERVED_RESPONSE_TIME: Final = _gauge(
    ProbeMetric.SERVED_RESPONSE_TIME, "The response time that the service itself reports, in seconds."
)
APPLICATION_INFO: Final = _gauge(ProbeMetric.APPLICATION_INFO, "The version that the service reports.")
APPLICATION_STATUS: Final = _gauge(
    ProbeMetric.APPLICATION_STATUS, "1 for what the service says of itself now: healthy, degraded or unhealthy."
)
APPLICATION_UPTIME: Final = _gauge(ProbeMetric.APPLICATION_UPTIME, "The uptime that the service reports, in seconds.")
APPLICATION_CHECK: Final = _gauge(
    ProbeMetric.APPLICATION_CHECK, "Whether a check that the service reports of itself is healthy."
)
APPLICATION_CHECK_DURATION: Final = _gauge(
    ProbeMetric.APPLICATION_CHECK_DURATION, "How long the service says that a check of its own took, in seconds."
)
APPLICATION_MEMORY: Final = _gauge(ProbeMetric.APPLICATION_MEMORY, "Memory that the service says it uses, in bytes.")
APPLICATION_MEMORY_RATIO: Final = _gauge(
    ProbeMetric.APPLICATION_MEMORY_RATIO, "Share of its memory that the service says it uses, from 0 to 1."
)
APPLICATION_CPU: Final = _gauge(ProbeMetric.APPLICATION_CPU, "Share of CPU that the service says it uses; 1 is all.")
APPLICATION_CPU_SECONDS: Final = _counter(
    ProbeMetric.APPLICATION_CPU_SECONDS, "Processor time that the service says it has used, in seconds."
)
APPLICATION_CONNECTIONS: Final = _gauge(
    ProbeMetric.APPLICATION_CONNECTIONS, "Active connections that the service reports."
)
APPLICATION_REQUESTS: Final = _gauge(
    ProbeMetric.APPLICATION_REQUESTS, "Requests a second, from those a minute that the service reports."
)
APPLICATION_ERRORS: Final = _gauge(ProbeMetric.APPLICATION_ERRORS, "Share of errors that the service reports, 0 to 1.")

# tcp and tls
TCP_DURATION: Final = _gauge(
    ProbeMetric.TCP_DURATION, "Duration of the phases resolve, connect, tls and dialogue, in seconds."
)
EXPECT_INFO: Final = _gauge(ProbeMetric.EXPECT_INFO, "What a regular expression of `expect` captured, as labels.")

FAILED_DUE_TO_BYTES: Final = _gauge(
    ProbeMetric.FAILED_DUE_TO_BYTES, "Whether the probe failed because the server sent other bytes than expected."
)

# icmp
ICMP_DURATION: Final = _gauge(ProbeMetric.ICMP_DURATION, "Duration of the phases resolve, setup and rtt, in seconds.")
ICMP_HOP_LIMIT: Final = _gauge(ProbeMetric.ICMP_HOP_LIMIT, "The hop limit of the reply; in IPv4 its TTL.")

# dns
DNS_DURATION: Final = _gauge(
    ProbeMetric.DNS_DURATION, "Duration of the phases resolve, connect and request, in seconds."
)
DNS_ANSWER_RRS: Final = _gauge(ProbeMetric.DNS_ANSWER_RRS, "Records in the answer section.")
DNS_AUTHORITY_RRS: Final = _gauge(ProbeMetric.DNS_AUTHORITY_RRS, "Records in the authority section.")
DNS_ADDITIONAL_RRS: Final = _gauge(ProbeMetric.DNS_ADDITIONAL_RRS, "Records in the additional section.")
DNS_QUERY_SUCCEEDED: Final = _gauge(ProbeMetric.DNS_QUERY_SUCCEEDED, "Whether the server answered, whatever it said.")
DNS_SERIAL: Final = _gauge(ProbeMetric.DNS_SERIAL, "The serial number of the zone, when its SOA was asked for.")

# grpc
GRPC_DURATION: Final = _gauge(ProbeMetric.GRPC_DURATION, "Duration of the phases resolve and check, in seconds.")
GRPC_SSL: Final = _gauge(ProbeMetric.GRPC_SSL, "Whether the server was asked over TLS.")
GRPC_STATUS_CODE: Final = _gauge(ProbeMetric.GRPC_STATUS_CODE, "The gRPC status of the answer; 14 is unavailable.")
GRPC_HEALTHCHECK_RESPONSE: Final = _gauge(
    ProbeMetric.GRPC_HEALTHCHECK_RESPONSE, "1 for what the server says of the service."
)

# flow
STEP_SUCCESS: Final = _gauge(ProbeMetric.STEP_SUCCESS, "Whether a step of the flow succeeded; absent when not reached.")
STEP_DURATION: Final = _gauge(ProbeMetric.STEP_DURATION, "How long a step of the flow took, in seconds.")
STEP_STATUS_CODE: Final = _gauge(ProbeMetric.STEP_STATUS_CODE, "Status code that a step got; 0 without an answer.")
STEP_FAILURE: Final = _gauge(ProbeMetric.STEP_FAILURE, "Why a step of the flow failed.")

# port
PORT_STATE: Final = _gauge(ProbeMetric.PORT_STATE, "1 for what a port of the registry is now.")
PORT_OCCUPIED: Final = _gauge(ProbeMetric.PORT_OCCUPIED, "Which other service of the registry answers on a port.")

# postgres
POSTGRES_CONNECT: Final = _gauge(
    ProbeMetric.POSTGRES_CONNECT, "Time to connect to PostgreSQL and authenticate, in seconds."
)
POSTGRES_SELECT: Final = _gauge(
    ProbeMetric.POSTGRES_SELECT, "Time that PostgreSQL took to answer SELECT 1, in seconds."
)
POSTGRES_QUERY: Final = _gauge(ProbeMetric.POSTGRES_QUERY, "Time that a query of the configuration took, in seconds.")
POSTGRES_CONNECTIONS: Final = _gauge(ProbeMetric.POSTGRES_CONNECTIONS, "Client connections to the server by state.")
POSTGRES_MAX_CONNECTIONS: Final = _gauge(
    ProbeMetric.POSTGRES_MAX_CONNECTIONS, "Connections that the server allows, those reserved for superusers excluded."
)
POSTGRES_CONNECTIONS_RATIO: Final = _gauge(
    ProbeMetric.POSTGRES_CONNECTIONS_RATIO, "Share of the connections allowed that are in use, from 0 to 1."
)
POSTGRES_REPLICA: Final = _gauge(ProbeMetric.POSTGRES_REPLICA, "1 on a replica, 0 on a primary.")
POSTGRES_REPLICATION_LAG: Final = _gauge(
    ProbeMetric.POSTGRES_REPLICATION_LAG, "How far behind a replica is, in seconds; 0 when it has replayed everything."
)
POSTGRES_REPLICATION_LAG_BYTES: Final = _gauge(
    ProbeMetric.POSTGRES_REPLICATION_LAG_BYTES, "WAL that a connected replica has not replayed, in bytes."
)
POSTGRES_REPLICAS: Final = _gauge(ProbeMetric.POSTGRES_REPLICAS, "Replicas that are connected to the server.")
POSTGRES_SIZE: Final = _gauge(ProbeMetric.POSTGRES_SIZE, "Size of the database, in bytes.")
POSTGRES_LOCKS_WAITING: Final = _gauge(ProbeMetric.POSTGRES_LOCKS_WAITING, "Sessions that wait for a lock.")
POSTGRES_LOCK_WAIT: Final = _gauge(
    ProbeMetric.POSTGRES_LOCK_WAIT, "How long the session that has waited longest for a lock has waited, in seconds."
)

# redis
REDIS_CONNECT: Final = _gauge(ProbeMetric.REDIS_CONNECT, "Time to connect to Redis and authenticate, in seconds.")
REDIS_PING: Final = _gauge(ProbeMetric.REDIS_PING, "Round-trip time of PING, in seconds.")
REDIS_ROUND_TRIP: Final = _gauge(ProbeMetric.REDIS_ROUND_TRIP, "Time to SET a key and GET it back, in seconds.")
REDIS_MEMORY: Final = _gauge(ProbeMetric.REDIS_MEMORY, "Memory that Redis uses for data, in bytes.")
REDIS_MEMORY_MAX: Final = _gauge(ProbeMetric.REDIS_MEMORY_MAX, "Memory that Redis may use, in bytes; 0 is no limit.")
REDIS_CLIENTS: Final = _gauge(ProbeMetric.REDIS_CLIENTS, "Clients that are connected, ours included.")
REDIS_CLIENTS_BLOCKED: Final = _gauge(ProbeMetric.REDIS_CLIENTS_BLOCKED, "Clients that wait in a blocking command.")
REDIS_CLIENTS_MAX: Final = _gauge(ProbeMetric.REDIS_CLIENTS_MAX, "Clients that Redis admits.")
REDIS_REPLICA: Final = _gauge(ProbeMetric.REDIS_REPLICA, "1 on a replica, 0 on a master.")
REDIS_LINK_UP: Final = _gauge(ProbeMetric.REDIS_LINK_UP, "Whether a replica's link to its master is up.")
REDIS_LAST_IO: Final = _gauge(ProbeMetric.REDIS_LAST_IO, "Seconds since a replica last heard from its master.")
REDIS_REPLICAS: Final = _gauge(ProbeMetric.REDIS_REPLICAS, "Replicas that are connected to a master.")

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
