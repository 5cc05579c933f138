"""What a real Prometheus has scraped in the past of a test: raw series, written into its storage and asked by time.

Each scene of traffic is a service of its own. Samples lie 15 s apart; a step is the time between two of them, counted
from the beginning of the stage, so that step -240 is an hour before.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

STEP = timedelta(seconds=15)
BEFORE, AFTER = 270, 260
"""Steps that are written before and after the beginning of the stage."""
MINUTE = 4
"""Steps of a minute."""

Rate = Callable[[int], int]
"""How many requests came in the step that ends with this sample."""


def flat(count: int, *, since: int = -BEFORE, until: int = AFTER + 1) -> Rate:
    """So many in each step from one to another."""
    return lambda step: count if since < step <= until else 0


def every(steps: int, count: int = 1, *, since: int = -BEFORE) -> Rate:
    """So many in each so-manieth step."""
    return lambda step: count if step > since and step % steps == 0 else 0


@dataclass(frozen=True, slots=True)
class Series:
    """One raw counter as it is scraped: from `since` to `until`, but not in `gap`, and from 0 again at each `resets`.

    `born` is what it has at its first sample, of a counter that is new then; `nan_since` when its values stop being
    numbers.
    """

    rate: Rate
    since: int = -BEFORE
    until: int = AFTER
    gap: range = range(0)
    resets: tuple[int, ...] = ()
    born: int = 0
    nan_since: int | None = None

    def samples(self) -> Iterator[tuple[int, float]]:
        """Each sample's step and value."""
        value = self.born
        for step in range(self.since, self.until + 1):
            if step in self.resets:
                value = 0
            if step > self.since:
                value += self.rate(step)
            if step in self.gap:
                continue
            yield step, float("nan") if self.nan_since is not None and step >= self.nan_since else float(value)


@dataclass(frozen=True, slots=True)
class Traffic:
    """A service's raw series: good and bad requests of both roles, and the recorded one that is watched."""

    service: str
    canary: Series | None = None
    canary_bad: Series | None = None
    stable: Series | None = field(default_factory=lambda: Series(flat(1800)))
    stable_bad: Series | None = field(default_factory=lambda: Series(every(2)))
    cpu: Rate | None = field(default_factory=lambda: flat(30))


def write(folder: Path, traffic: Sequence[Traffic], begins: datetime, record: str) -> None:
    """Write blocks of Prometheus's storage; `record` is the name of the recorded series that is watched."""
    folder.mkdir(parents=True, exist_ok=True)
    text = folder.parent / "history.om"
    lines = [
        line for one in (_counters(traffic), _up(traffic), _recorded(traffic, record)) for line in _of(one, begins)
    ]
    text.write_text("\n".join((*lines, "# EOF", "")))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, folder], check=True, capture_output=True
    )


Family = tuple[str, str, Sequence[tuple[str, Iterator[tuple[int, float]]]]]


def _of(family: Family, begins: datetime) -> Iterator[str]:
    name, kind, series = family
    yield f"# TYPE {name.removesuffix('_total')} {kind}"
    for labels, samples in series:
        for step, value in samples:
            shown = "NaN" if math.isnan(value) else f"{value:g}" if abs(value) < 1e5 else f"{value:.0f}"
            yield f"{name}{{{labels}}} {shown} {(begins + step * STEP).timestamp():.3f}"


def _counters(traffic: Sequence[Traffic]) -> Family:
    series = []
    for request in traffic:
        for role, status, counter in (
            ("canary", "200", request.canary),
            ("canary", "500", request.canary_bad),
            ("stable", "200", request.stable),
            ("stable", "500", request.stable_bad),
        ):
            if counter is not None:
                series.append((_labels(request.service, role, status=status), counter.samples()))
    return "http_requests_total", "counter", series


def _up(traffic: Sequence[Traffic]) -> Family:
    series = []
    for request in traffic:
        for role, counter in (("canary", request.canary), ("stable", request.stable)):
            if counter is not None:
                series.append((f'job="app",instance="{request.service}-{role}"', _ones(counter)))
    return "up", "gauge", series


def _recorded(traffic: Sequence[Traffic], record: str) -> Family:
    series = []
    for request in traffic:
        if request.cpu is not None:
            labels = f'service="{request.service}",environment="production",policy="shop"'
            series.append((labels, _percent(request.cpu)))
    return record, "gauge", series


def _percent(rate: Rate) -> Iterator[tuple[int, float]]:
    yield from ((step, rate(step) / 100) for step in range(-BEFORE + 1, AFTER + 1))


def _ones(counter: Series) -> Iterator[tuple[int, float]]:
    yield from ((step, 1.0) for step in range(counter.since, counter.until + 1) if step not in counter.gap)


def _labels(service: str, role: str, **more: str) -> str:
    every_label = {
        "job": "app",
        "instance": f"{service}-{role}",
        "service": service,
        "environment": "production",
        "deployment": role,
        **more,
    }
    return ",".join(f'{name}="{value}"' for name, value in every_label.items())
