"""db_latency_p95: the duration that 95 % of a service's database queries stay below."""

from __future__ import annotations

from decimal import Decimal

from deploywatch.rules.series.durations import DatabaseDurations
from deploywatch.rules.signals.service.latency import LatencyQuantile

SIGNAL = LatencyQuantile(
    "db_latency_p95", Decimal("0.95"), title="p95 database latency", of="queries", needs=DatabaseDurations
)
