"""The exporter's metrics of itself: how many probes, whether they run on time, and whether anything is stuck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploywatch import __version__
from deploywatch.exporter.discovery.groups import DropReason
from deploywatch.exporter.exporter import Exporter, Refused
from deploywatch.exporter.results import Dropped
from deploywatch.files.watched_files import WATCHED


class Own(Collector):
    """How the exporter itself is doing, counted when it is asked."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        build = GaugeMetricFamily("deploywatch_build_info", "The version of deploywatch.", labels=["version", "part"])
        build.add_metric([__version__, "exporter"], 1)
        yield build
        probes = GaugeMetricFamily("deploywatch_exporter_probes", "Probes in the configuration.", labels=["layer"])
        for layer, count in sorted(self._exporter.probes_by_layer().items()):
            probes.add_metric([layer], count)
        yield probes
        yield GaugeMetricFamily(
            "deploywatch_exporter_unprobed_ports",
            "Entries of the port registry that no probe looks at: ranges, and protocols other than TCP.",
            value=len(self._exporter.settings.unprobed_ports),
        )
        yield from self._schedule()
        yield from self._modules()
        yield from self._files()

    def _schedule(self) -> Iterator[Metric]:
        scheduler, loop = self._exporter.scheduler, self._exporter.loop_lag
        yield CounterMetricFamily(
            "deploywatch_exporter_missed_runs",
            "Runs that were skipped because the one before was still not done.",
            value=scheduler.missed,
        )
        yield GaugeMetricFamily(
            "deploywatch_exporter_running_probes", "Runs that are under way.", value=scheduler.running
        )
        yield GaugeMetricFamily(
            "deploywatch_exporter_concurrency",
            "How many runs may be under way at once.",
            value=self._exporter.settings.concurrency,
        )
        yield GaugeMetricFamily(
            "deploywatch_exporter_overdue_seconds",
            "How long the longest overdue run has been waiting to begin; when it grows, the schedule is stuck.",
            value=scheduler.overdue(),
        )
        yield scheduler.start_lag.metric(
            "deploywatch_exporter_start_lag_seconds", "How much later than planned runs began."
        )
        yield loop.metric(
            "deploywatch_exporter_event_loop_lag_seconds", "How much later than asked the event loop went on."
        )
        yield GaugeMetricFamily(
            "deploywatch_exporter_event_loop_lag_max_seconds",
            "The longest that the event loop was blocked since the start.",
            value=loop.longest,
        )

    def _modules(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "deploywatch_exporter_refused_modules",
            "Modules of the configuration that cannot run; probes by them fail with the reason config.",
            value=len(self._exporter.settings.refused),
        )

    def _files(self) -> Iterator[Metric]:
        files = self._exporter.files
        yield GaugeMetricFamily(
            "deploywatch_exporter_target_files", "Files that targets are read from.", value=len(files.known)
        )
        yield GaugeMetricFamily(
            "deploywatch_exporter_faulty_target_files",
            "Target files that could not be read the last time; the targets of before stay.",
            value=len(files.problems()),
        )
        counts = Counter(target.reason for target in files.dropped())
        dropped = GaugeMetricFamily(
            "deploywatch_exporter_dropped_targets",
            "Targets that files name and that are not probed, by reason.",
            labels=["reason"],
        )
        # Each of them, also at 0: an alert on one that was never there would never fire.
        for reason in DropReason:
            dropped.add_metric([str(reason)], counts[reason])
        yield dropped
        yield GaugeMetricFamily(
            "deploywatch_exporter_stale_files",
            "Files of certificates, authorities and secrets that cannot be used now; their last good content goes on.",
            value=len(WATCHED.stale()),
        )
        left_out = CounterMetricFamily(
            "deploywatch_exporter_left_out",
            "What runs left out of their measurements without failing, by reason.",
            labels=["reason"],
        )
        for word in Dropped:
            left_out.add_metric([str(word)], self._exporter.board.dropped[word])
        yield left_out
        refused = CounterMetricFamily(
            "deploywatch_exporter_refused_probes",
            "Requests to /probe that probed nothing: no room, or a module that is refused.",
            labels=["reason"],
        )
        for why in Refused:
            refused.add_metric([str(why)], self._exporter.refused[why])
        yield refused
