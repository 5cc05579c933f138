"""`/metrics` with 20,000 probe series: our text against prometheus-client's generate_latest on the same samples."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from deploywatch.exporter.exposition import Exposition, layout_of, pairs, series_of
from deploywatch.exporter.results import Family, Sample

TARGETS, FAMILIES = 1000, 20
_LABELS = ("service", "environment", "probe", "kind")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each round: ours, theirs, and what our scrape does not do, because each run has done it: rendering."""

    ours: list[float]
    theirs: list[float]
    rendering: list[float]


class _Same(Collector):
    """The same samples, as prometheus-client wants them."""

    def __init__(self, values: dict[str, dict[tuple[str, ...], float]]) -> None:
        self._values = values

    def collect(self) -> list[GaugeMetricFamily]:
        """Every family."""
        rows = []
        for name, samples in self._values.items():
            family = GaugeMetricFamily(name, "Help.", labels=_LABELS)
            for labels, value in samples.items():
                family.add_metric(labels, value)
            rows.append(family)
        return rows


def compare(rounds: int) -> Times:
    """The times; AssertionError when what is read back is not the same."""
    families = [Family(f"probe_{number}_seconds", "gauge", "Help.") for number in range(FAMILIES)]
    targets = [("shop", "production", f"probe-{number}", "http") for number in range(TARGETS)]
    values: dict[str, dict[tuple[str, ...], float]] = {
        family.name: {labels: number * 0.001 + position for position, labels in enumerate(targets)}
        for number, family in enumerate(families)
    }
    exposition = Exposition()
    bases = {labels: pairs(tuple(zip(_LABELS, labels, strict=True))) for labels in targets}
    layout = layout_of(series_of([Sample(family, 0) for family in families]))

    def render() -> None:
        for labels, base in bases.items():
            found = [values[family.name][labels] for family in families]
            exposition.put(labels, layout.families, layout.fill(base, found))

    render()
    registry = CollectorRegistry()
    registry.register(_Same(values))
    # A faster text that says something else would be no comparison.
    assert _read(exposition.text()) == _read(generate_latest(registry).decode()), "not the same after parsing"
    times = Times([], [], [])
    for _ in range(rounds):
        times.ours.append(_seconds(lambda: exposition.text().encode()))
        times.theirs.append(_seconds(lambda: generate_latest(registry)))
        times.rendering.append(_seconds(render))
    return times


def _read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def _seconds(work: Callable[[], object]) -> float:
    # Before, so that a collection of others' garbage does not fall into the time.
    gc.collect()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
