"""Every signal that a policy can set a limit to, by name; one module each."""

from __future__ import annotations

from rules.signals import availability, error_ratio, health, latency_p95, queue_length, service_up, throughput
from rules.signals.signal import Signal

SIGNALS: dict[str, Signal] = {
    module.SIGNAL.name: module.SIGNAL
    for module in (error_ratio, latency_p95, throughput, availability, service_up, health, queue_length)
}
