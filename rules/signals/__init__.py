"""Every signal that a policy can set a limit to, by name; those that a policy defines itself come on top."""

from __future__ import annotations

from collections.abc import Mapping

from deploywatch.rules.policy import CustomSignal
from deploywatch.rules.signals.business import complaints, conversion_ratio, revenue, satisfaction, user_sessions
from deploywatch.rules.signals.custom import Custom
from deploywatch.rules.signals.machine import connection_pool, cpu, db_latency, disk, disk_latency, memory, network
from deploywatch.rules.signals.service import (
    active_connections,
    availability,
    dependency_probed,
    dependency_up,
    deployment_ok,
    error_ratio,
    health,
    latency,
    latency_mean,
    queue_length,
    service_up,
    targets_up,
    throughput,
)
from deploywatch.rules.signals.signal import Signal

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        error_ratio.SIGNAL,
        *latency.SIGNALS,
        latency_mean.SIGNAL,
        *throughput.SIGNALS,
        availability.SIGNAL,
        service_up.SIGNAL,
        targets_up.SIGNAL,
        health.SIGNAL,
        dependency_up.SIGNAL,
        dependency_probed.SIGNAL,
        deployment_ok.SIGNAL,
        queue_length.SIGNAL,
        active_connections.SIGNAL,
        cpu.SIGNAL,
        memory.SIGNAL,
        disk.SIGNAL,
        disk_latency.SIGNAL,
        network.SIGNAL,
        db_latency.SIGNAL,
        connection_pool.SIGNAL,
        conversion_ratio.SIGNAL,
        revenue.SIGNAL,
        user_sessions.SIGNAL,
        satisfaction.SIGNAL,
        complaints.SIGNAL,
    )
}


def known(custom: Mapping[str, CustomSignal]) -> dict[str, Signal]:
    """All signals of a policy that defines these."""
    return SIGNALS | {name: Custom(name, given) for name, given in custom.items()}
