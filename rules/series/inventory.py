"""All series of a policy, by the key that they have there."""

from __future__ import annotations

from typing import TypeVar, get_args

from deploywatch.config import Settings
from deploywatch.errors import DeploywatchError
from deploywatch.rules.series.durations import DatabaseDurations, Durations
from deploywatch.rules.series.requests import (
    Connections,
    Dependencies,
    Deployments,
    Measured,
    Probes,
    Queues,
    Requests,
    Targets,
)
from deploywatch.rules.series.resources import (
    Complaints,
    Conversions,
    Cpu,
    Disk,
    DiskTimes,
    Memory,
    Network,
    Pool,
    Revenue,
    Satisfaction,
    Sessions,
)

M = TypeVar("M", bound=Measured)


class Series(Settings):
    """What Prometheus, our exporter, our receiver and node_exporter expose need not be spelled out."""

    requests: Requests | None = None
    durations: Durations | None = None
    database: DatabaseDurations | None = None
    targets: Targets = Targets()
    probes: Probes = Probes()
    dependencies: Dependencies = Dependencies()
    deployments: Deployments = Deployments()
    queues: Queues = Queues()
    connections: Connections = Connections()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    disk: Disk = Disk()
    disk_times: DiskTimes = DiskTimes()
    network: Network = Network()
    pool: Pool | None = None
    conversions: Conversions | None = None
    revenue: Revenue | None = None
    complaints: Complaints | None = None
    sessions: Sessions | None = None
    satisfaction: Satisfaction | None = None

    def find(self, kind: type[M]) -> M | None:
        """The series of exactly this kind, where the policy has them."""
        return next((series for _, series in self if type(series) is kind), None)

    def of(self, kind: type[M]) -> M:
        """The series of this kind; DeploywatchError where the policy lacks them, which loading it reports."""
        series = self.find(kind)
        if series is None:
            raise DeploywatchError(f"the policy does not say which series are its {self.key(kind)}")
        return series

    @classmethod
    def key(cls, kind: type[Measured]) -> str:
        """The key that series of this kind have in a policy."""
        return next(
            name
            for name, field in cls.model_fields.items()
            if kind is field.annotation or kind in get_args(field.annotation)
        )
