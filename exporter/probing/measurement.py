"""What a probe has measured so far, and what every probe can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from deploywatch.clock import Clock
from deploywatch.exporter.measure.gauges import LABEL_LIMIT
from deploywatch.exporter.results import (
    Application,
    Dropped,
    Family,
    Reason,
    Sample,
    StepResult,
)

OWN = "probe_"
"""How the names of deploywatch's own measurements begin; a config's metrics never do."""
Allowed = Callable[[IPv4Address | IPv6Address], bool]
"""Whether a probe may connect to an address; asked after resolution, and again after each redirect."""


@dataclass(slots=True)
class Measurement:
    """What a probe has measured so far; it is kept when the probe fails or its time is up.

    Should the time run out, `stage` tells people what the probe was at, and `overdue` is the reason.
    Without `allowed` the probe may connect anywhere.
    """

    clock: Clock
    deadline: float
    allowed: Allowed | None = None
    stage: str = "start"
    overdue: Reason = Reason.DEADLINE
    application: Application | None = None
    samples: list[Sample] = field(default_factory=list)
    dropped: Counter[Dropped] = field(default_factory=Counter)
    steps: list[StepResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def label(self, text: str) -> str:
        """A label's value, cut at LABEL_LIMIT characters; that it was cut is counted."""
        # Each different value is a series in Prometheus for as long as it keeps data.
        if len(text) > LABEL_LIMIT:
            self.dropped[Dropped.LABEL_CUT] += 1
        return text[:LABEL_LIMIT]

    def add(self, family: Family, value: float, **labels: str) -> None:
        """Note a number."""
        self.samples.append(Sample(family, value, tuple(labels.items()) if labels else ()))

    def remaining(self) -> float:
        """Seconds until the deadline; not below zero."""
        return max(0.0, self.deadline - self.clock.monotonic())

    @contextmanager
    def timed(self, stage: str, *, overdue: Reason = Reason.DEADLINE) -> Iterator[Callable[[], float]]:
        """Name the stage; the value that is given tells the seconds spent in it."""
        self.stage, self.overdue = stage, overdue
        begin = self.clock.monotonic()
        end: float | None = None

        def passed() -> float:
            return (self.clock.monotonic() if end is None else end) - begin

        yield passed
        end = self.clock.monotonic()
        # Not in a `finally`: where the stage failed, its own reason is the one that counts.
        self.overdue = Reason.DEADLINE


class Probe(Protocol):
    """One thing that can be measured."""

    async def measure(self, measurement: Measurement) -> None:
        """Add samples to `measurement`; raise Failed when something is not well."""
        ...


class Settling(ABC):
    """A probe that leaves something behind at the server, and knows when that is gone."""

    # A class and not a Protocol: each run asks whether its probe is one, and a Protocol is compared method by method.
    @abstractmethod
    async def settled(self) -> None:
        """Wait until it is, but not long."""
