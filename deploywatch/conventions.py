"""Every metric, label and annotation name that two parts, or a user's own rules, must agree on."""

from __future__ import annotations

from typing import Final

# Labels that every probe series, recorded series and alert bears.
SERVICE: Final = "service"
ENVIRONMENT: Final = "environment"
PROBE: Final = "probe"
KIND: Final = "kind"


class AlertLabel:
    """Labels of a generated alert: what changes the alert's identity."""

    SEVERITY: Final = "severity"
    SERVICE: Final = SERVICE
    ENVIRONMENT: Final = ENVIRONMENT
    INCIDENT_TYPE: Final = "incident_type"
    ACTION: Final = "action"
    POLICY: Final = "policy"


class AlertAnnotation:
    """Annotations of a generated alert: what tells a person, or the receiver, something."""

    SUMMARY: Final = "summary"
    DESCRIPTION: Final = "description"
    VALUE: Final = "value"
    THRESHOLD: Final = "threshold"
    CHANNELS: Final = "channels"
    ESCALATE_AFTER: Final = "escalate_after"
    SOURCE: Final = "source"
    RUNBOOK_URL: Final = "runbook_url"
    DASHBOARD_URL: Final = "dashboard_url"

    # What others call the same, in the order in which they are asked.
    MESSAGES: Final = ("message", "msg", "title")
    RUNBOOKS: Final = (RUNBOOK_URL, "runbook", "runbookURL", "runbook_link")
    DASHBOARDS: Final = (DASHBOARD_URL, "dashboard", "dashboardURL", "dashboard_link", "__dashboardURL__")


SEVERITIES: Final = ("critical", "high", "medium", "low")
"""From worst to least."""


class ProbeMetric:
    """Gauges and counters of the exporter; the first block bears blackbox_exporter's names and meanings."""

    SUCCESS: Final = "probe_success"
    DURATION: Final = "probe_duration_seconds"
    DNS_LOOKUP: Final = "probe_dns_lookup_time_seconds"
    IP_PROTOCOL: Final = "probe_ip_protocol"
    IP_ADDR_HASH: Final = "probe_ip_addr_hash"
    HTTP_DURATION: Final = "probe_http_duration_seconds"
    HTTP_STATUS_CODE: Final = "probe_http_status_code"
    HTTP_VERSION: Final = "probe_http_version"
    HTTP_CONTENT_LENGTH: Final = "probe_http_content_length"
    HTTP_UNCOMPRESSED_BODY_LENGTH: Final = "probe_http_uncompressed_body_length"
    HTTP_REDIRECTS: Final = "probe_http_redirects"
    HTTP_SSL: Final = "probe_http_ssl"
    HTTP_LAST_MODIFIED: Final = "probe_http_last_modified_timestamp_seconds"
    FAILED_DUE_TO_REGEX: Final = "probe_failed_due_to_regex"
    SSL_EARLIEST_CERT_EXPIRY: Final = "probe_ssl_earliest_cert_expiry"
    SSL_CHAIN_EXPIRY: Final = "probe_ssl_last_chain_expiry_timestamp_seconds"
    SSL_CHAIN_INFO: Final = "probe_ssl_last_chain_info"
    TLS_VERSION_INFO: Final = "probe_tls_version_info"
    TLS_CIPHER_INFO: Final = "probe_tls_cipher_info"
    ICMP_DURATION: Final = "probe_icmp_duration_seconds"
    ICMP_HOP_LIMIT: Final = "probe_icmp_reply_hop_limit"
    DNS_DURATION: Final = "probe_dns_duration_seconds"
    DNS_ANSWER_RRS: Final = "probe_dns_answer_rrs"
    DNS_AUTHORITY_RRS: Final = "probe_dns_authority_rrs"
    DNS_ADDITIONAL_RRS: Final = "probe_dns_additional_rrs"
    DNS_QUERY_SUCCEEDED: Final = "probe_dns_query_succeeded"
    DNS_SERIAL: Final = "probe_dns_serial"
    GRPC_DURATION: Final = "probe_grpc_duration_seconds"
    GRPC_SSL: Final = "probe_grpc_ssl"
    GRPC_STATUS_CODE: Final = "probe_grpc_status_code"
    GRPC_HEALTHCHECK_RESPONSE: Final = "probe_grpc_healthcheck_response"
    FAILED_DUE_TO_BYTES: Final = "probe_failed_due_to_bytes"
    TCP_DURATION: Final = "probe_tcp_duration_seconds"
    EXPECT_INFO: Final = "probe_expect_info"

    FAILURE_INFO: Final = "probe_failure_info"
    RUN_DURATION: Final = "probe_run_duration_seconds"
    LAST_RUN: Final = "probe_last_run_timestamp_seconds"
    RUNS: Final = "probe_runs_total"
    FAILURES: Final = "probe_failures_total"
    TLS_VERIFY_FAILURE: Final = "probe_tls_verify_failure_info"
    SERVED_RESPONSE_TIME: Final = "probe_http_served_response_time_seconds"
    APPLICATION_INFO: Final = "probe_application_info"
    APPLICATION_STATUS: Final = "probe_application_status"
    APPLICATION_UPTIME: Final = "probe_application_uptime_seconds"
    APPLICATION_CHECK: Final = "probe_application_check"
    APPLICATION_CHECK_DURATION: Final = "probe_application_check_duration_seconds"
    APPLICATION_MEMORY: Final = "probe_application_memory_bytes"
    APPLICATION_MEMORY_RATIO: Final = "probe_application_memory_ratio"
    APPLICATION_CPU: Final = "probe_application_cpu_ratio"
    APPLICATION_CPU_SECONDS: Final = "probe_application_cpu_seconds_total"
    APPLICATION_CONNECTIONS: Final = "probe_application_connections"
    APPLICATION_REQUESTS: Final = "probe_application_requests_per_second"
    APPLICATION_ERRORS: Final = "probe_application_error_ratio"
    STEP_SUCCESS: Final = "probe_step_success"
    STEP_DURATION: Final = "probe_step_duration_seconds"
    STEP_STATUS_CODE: Final = "probe_step_http_status_code"
    STEP_FAILURE: Final = "probe_step_failure_info"
    PORT_STATE: Final = "probe_port_state"
    PORT_OCCUPIED: Final = "probe_port_occupied_info"

    POSTGRES_CONNECT: Final = "probe_postgres_connect_seconds"
    POSTGRES_SELECT: Final = "probe_postgres_select_seconds"
    POSTGRES_QUERY: Final = "probe_postgres_query_seconds"
    POSTGRES_CONNECTIONS: Final = "probe_postgres_connections"
    POSTGRES_MAX_CONNECTIONS: Final = "probe_postgres_max_connections"
    POSTGRES_CONNECTIONS_RATIO: Final = "probe_postgres_connections_used_ratio"
    POSTGRES_REPLICA: Final = "probe_postgres_replica"
    POSTGRES_REPLICATION_LAG: Final = "probe_postgres_replication_lag_seconds"
    POSTGRES_REPLICATION_LAG_BYTES: Final = "probe_postgres_replication_lag_bytes"
    POSTGRES_REPLICAS: Final = "probe_postgres_connected_replicas"
    POSTGRES_SIZE: Final = "probe_postgres_database_size_bytes"
    POSTGRES_LOCKS_WAITING: Final = "probe_postgres_locks_waiting"
    POSTGRES_LOCK_WAIT: Final = "probe_postgres_longest_lock_wait_seconds"
    REDIS_CONNECT: Final = "probe_redis_connect_seconds"
    REDIS_PING: Final = "probe_redis_ping_seconds"
    REDIS_ROUND_TRIP: Final = "probe_redis_round_trip_seconds"

    REDIS_MEMORY: Final = "probe_redis_memory_used_bytes"
    REDIS_MEMORY_MAX: Final = "probe_redis_memory_max_bytes"
    REDIS_CLIENTS: Final = "probe_redis_connected_clients"
    REDIS_CLIENTS_BLOCKED: Final = "probe_redis_blocked_clients"
    REDIS_CLIENTS_MAX: Final = "probe_redis_max_clients"
    REDIS_REPLICA: Final = "probe_redis_replica"
    REDIS_LINK_UP: Final = "probe_redis_replication_link_up"
    REDIS_LAST_IO: Final = "probe_redis_replication_last_io_seconds"
    REDIS_REPLICAS: Final = "probe_redis_connected_replicas"

    DEPENDENCY: Final = "service_dependency"


class DeploymentMetric:
    """The receiver's ledger as metrics; rules compare against these."""

    INFO: Final = "deployment_info"
    STARTED: Final = "deployment_started_timestamp_seconds"
    FINISHED: Final = "deployment_finished_timestamp_seconds"
    STATUS: Final = "deployment_status"


class IncidentMetric:
    """The receiver's incidents as metrics; dashboards show these."""

    OPEN: Final = "deploywatch_incidents_open"
    OPENED: Final = "deploywatch_incidents_total"
    STATES: Final = "deploywatch_incidents"
    ACKNOWLEDGE: Final = "deploywatch_incident_acknowledge_seconds"
    RESOLVE: Final = "deploywatch_incident_resolve_seconds"
    ACTIONS: Final = "deploywatch_actions_total"


class ReceiverMetric:
    """What the receiver says of its own work."""

    WEBHOOKS: Final = "deploywatch_webhooks_total"
    WEBHOOK_COMMIT: Final = "deploywatch_webhook_commit_seconds"
    ALERTS: Final = "deploywatch_alerts_total"
    UNREADABLE: Final = "deploywatch_alerts_unreadable_total"
    HEALED: Final = "deploywatch_alerts_healed_total"
    PAGERDUTY_EVENTS: Final = "deploywatch_pagerduty_events_total"
    VERDICTS: Final = "deploywatch_verdicts_total"
    ASSESSMENTS: Final = "deploywatch_assessments_total"
    JOBS: Final = "deploywatch_jobs_total"
    JOBS_QUEUED: Final = "deploywatch_jobs_queued"
    JOBS_LATE: Final = "deploywatch_jobs_oldest_due_seconds"
    REMINDERS: Final = "deploywatch_reminders_total"
    DELIVERIES: Final = "deploywatch_deliveries_total"
    DELIVERIES_WAITING: Final = "deploywatch_deliveries_waiting"
    DELIVERIES_OLDEST: Final = "deploywatch_deliveries_oldest_seconds"
    ANNOUNCEMENTS: Final = "deploywatch_announcements_total"
    EVENTS: Final = "deploywatch_events_total"
    EVENTS_WAITING: Final = "deploywatch_events_waiting"
    EVENTS_OLDEST: Final = "deploywatch_events_oldest_seconds"
    STORE_FAILURES: Final = "deploywatch_store_failures_total"


CONFIG_RELOADED: Final = "deploywatch_config_last_reload_successful"
CONFIG_RELOADED_AT: Final = "deploywatch_config_last_reload_success_timestamp_seconds"

EXPORTER_PORT: Final = 9871
RECEIVER_PORT: Final = 9872
