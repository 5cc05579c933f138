"""Leases due jobs in whichever transaction is going on, and starts them once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from deploywatch.receiver.jobs.claim import Look
from deploywatch.receiver.jobs.job import Job

Start = Callable[[Look, float], None]
Find = Callable[[Connection, Collection[int]], Look | None]


@dataclass(slots=True)
class Leasing:
    """Around one transaction: `look` within it leases, and what it leased is started when the block ends well.

    `fence` is when, by the loop's clock, these leases may be over.
    """

    find: Find
    start: Start
    fence: float
    leased: dict[int, Job]
    """What transactions that are under way have leased: it counts as running."""
    found: Look | None = field(default=None, init=False)

    def look(self, connection: Connection, ended: Collection[int] = ()) -> None:
        """Lease what is due, as if the jobs of these numbers had ended."""
        self.found = self.find(connection, ended)
        if self.found:
            self.leased.update({job.id: job for job in self.found.claimed})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self.found is None:
            return
        for job in self.found.claimed:
            self.leased.pop(job.id, None)
        if error is None:
            self.start(self.found, self.fence)
