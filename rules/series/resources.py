"""Series of machines and of the business; the defaults are node_exporter's names, cAdvisor's go in their place."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploywatch.rules.series.names import LabelName, MetricName, Pattern
from deploywatch.rules.series.requests import Measured

# cAdvisor also gives the pod as a whole (an empty label) and its pause container (POD): both would count twice.
CONTAINERS_ONLY = {"container": "|POD"}
"""cAdvisor counts a pod's containers, its pause container (`POD`) and its cgroup (no name) besides."""


def _excluded(metric: str, given: dict[str, str] | None) -> dict[str, str]:
    """What a policy leaves out, or else what is no container of the service's among cAdvisor's series."""
    if given is not None:
        return given
    return CONTAINERS_ONLY if metric.startswith("container_") else {}


class Cpu(Measured):
    """A counter of processor seconds: idle ones by core (node_exporter), or used ones by container (cAdvisor)."""

    metric: MetricName = "node_cpu_seconds_total"
    counts: Literal["idle", "used"] = "idle"

    @property
    def counted(self) -> dict[str, tuple[str, ...]]:
        """Labels of the seconds that count; unless the policy says it, `mode: idle` where idle ones are counted."""
        usual: dict[str, tuple[str, ...]] = {"mode": ("idle",)} if self.counts == "idle" else {}
        return usual if self.only is None else self.only

    @property
    def excluded(self) -> dict[str, str]:
        """What is left out; unless the policy says it, cAdvisor's series of what is no container of the service's."""
        return _excluded(self.metric, self.excluding)


class Stock(Measured):
    """Two gauges in bytes or pieces: what is free or used, and all that there is."""

    total: MetricName
    counts: Literal["free", "used"]

    @property
    def excluded(self) -> dict[str, str]:
        """What is left out; unless the policy says it, as for processors."""
        return _excluded(self.metric, self.excluding)


class Memory(Stock):
    """Memory of machines, or of containers with a limit."""

    metric: MetricName = "node_memory_MemAvailable_bytes"
    total: MetricName = "node_memory_MemTotal_bytes"
    counts: Literal["free", "used"] = "free"


class Disk(Stock):
    """Filesystems, one series each."""

    metric: MetricName = "node_filesystem_avail_bytes"
    total: MetricName = "node_filesystem_size_bytes"
    counts: Literal["free", "used"] = "free"
    # These are memory, and one that is full by design would hide the disks.
    excluding: dict[LabelName, Pattern] | None = Field(default={"fstype": "tmpfs|fuse.lxcfs"})


class Pool(Stock):
    """A pool of connections: how many are taken, of how many."""

    metric: MetricName = "db_pool_connections_in_use"
    total: MetricName = "db_pool_connections_max"
    counts: Literal["free", "used"] = "used"


class Quotient(Measured):
    """Two counters, of which one is divided by the other."""

    per: MetricName


class DiskTimes(Quotient):
    """Seconds that writes took and how many there were, and the same of reads."""

    metric: MetricName = "node_disk_write_time_seconds_total"
    per: MetricName = "node_disk_writes_completed_total"
    read_metric: MetricName = "node_disk_read_time_seconds_total"
    read_per: MetricName = "node_disk_reads_completed_total"


class Conversions(Quotient):
    """Visits that ended as wished, and all visits."""

    metric: MetricName = "conversions_total"
    per: MetricName = "visits_total"


class Network(Measured):
    """A counter of bytes."""

    metric: MetricName = "node_network_transmit_bytes_total"
    # What a machine says to itself does not pass its network.
    excluding: dict[LabelName, Pattern] | None = Field(default={"device": "lo"})


class Revenue(Measured):
    """A counter of money taken, in dollars."""

    metric: MetricName = "revenue_total"


class Complaints(Measured):
    """A counter of complaints."""

    metric: MetricName = "user_complaints_total"


class Sessions(Measured):
    """User sessions that are open now."""

    metric: MetricName = "user_sessions"


class Satisfaction(Measured):
    """How satisfied users are, from 0 to 5."""

    metric: MetricName = "user_satisfaction_score"
