"""A real Prometheus that has six hours of a world, with what went wrong in it, and no rules."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes
from tests.rules.tools import run
from tests.support.world.film import Piece, Track, open_metrics
from tests.support.world.software import series
from tests.support.world.systems import System, system

HOURS = 6
_STEP = 60
_AHEAD = 3600
"""Seconds for which there are samples ahead, so that the world does not end while slow tests ask about now."""


@dataclass(frozen=True, slots=True)
class Live:
    """The server, and the Unix time at which its world began."""

    url: str
    began: float


def happened() -> System:
    """Two services of which one failed 8 % of its requests for 20 minutes, four hours ago, and has a slow disk."""
    world = system("wix-platform")
    world.of("wix-api").between(2 * 3600, 2 * 3600 + 1200, failing=0.08)
    world.of("wix-checkout").deployed(3 * 3600, "v2")
    return world


def _summary(samples: int) -> Iterator[Track]:
    """What a client that gives quantiles says of payments."""
    where = {"service": "wix-checkout", "environment": "production", "instance": "10.0.0.1:8080"}
    for quantile, seconds in (("0.5", 0.1), ("0.9", 0.2), ("0.99", 0.4)):
        name = series("payment_duration_seconds", {**where, "quantile": quantile})
        yield Track(name, [Piece(samples, seconds)])


@pytest.fixture(scope="session")
def live(workshop: Path) -> Iterator[Live]:
    """Blocks made by promtool, under a Prometheus that scrapes nothing."""
    folder = workshop / "live"
    folder.mkdir()
    began = (time.time() - HOURS * 3600) // _STEP * _STEP
    length = HOURS * 3600 + _AHEAD
    tracks = [*happened().tracks(length=length, step=_STEP), *_summary(length // _STEP + 1)]
    text = open_metrics(tracks, start=began, step=_STEP)
    (folder / "world.txt").write_text(text)
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
    made = run("promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "world.txt", folder / "data")
    assert made.returncode == 0, made.stdout + made.stderr
    with Processes(folder / "logs") as processes:
        yield Live(servers.prometheus(processes, folder / "data", folder / "prometheus.yml").url, began)
