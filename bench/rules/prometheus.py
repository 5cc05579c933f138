"""A real Prometheus that scrapes the thousand services, and how long it takes to evaluate one set of rules."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.rules.load import INTERVAL, SCRAPE, WINDOW
from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until

_DURATION = re.compile(r"^prometheus_rule_group_last_duration_seconds\{[^}]*\} (\S+)$", re.MULTILINE)
_MISSED = re.compile(r"^prometheus_rule_group_iterations_missed_total\{[^}]*\} (\S+)$", re.MULTILINE)

_CONFIG = """
global: {{scrape_interval: {scrape}s, scrape_timeout: {scrape}s, evaluation_interval: {interval}s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: bench
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


_PROCESSOR = re.compile(r"^process_cpu_seconds_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one set of rules cost, evaluation by evaluation; how many alerts fired; how many evaluations were missed.

    `seconds` are those that all groups took together, waiting for a core included; `processor` is the processor time of
    all of Prometheus in an interval, scrapes included.
    """

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    firing: int
    missed: int

    @property
    def median(self) -> float:
        """Seconds of the evaluation in the middle."""
        return median(self.seconds)

    @property
    def busy(self) -> float:
        """Seconds of processor time in an interval, in the middle."""
        return median(self.processor)

    @property
    def spread(self) -> float:
        """From the shortest to the longest evaluation, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median if self.seconds and self.median else 0.0


@dataclass(frozen=True, slots=True)
class Bench:
    """A Prometheus whose window has filled, and the file that says which rules it evaluates."""

    url: str
    config: Path
    target: int

    def evaluate(self, rules: Path, times: int) -> Measured:
        """Take these rules, let them settle, and look at so many evaluations."""
        self.take(rules)
        # Alerts wait an interval; what is recorded for the first time costs more.
        time.sleep(1.5 * INTERVAL)
        before = self._sum(_MISSED)
        seconds, processor = [], []
        for _ in range(times):
            used = self._sum(_PROCESSOR)
            time.sleep(INTERVAL)
            seconds.append(self._sum(_DURATION))
            processor.append(self._sum(_PROCESSOR) - used)
        alerts = json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]
        firing = sum(alert["state"] == "firing" for alert in alerts)
        return Measured(tuple(seconds), tuple(processor), firing, int(self._sum(_MISSED) - before))

    def take(self, rules: Path) -> None:
        """Evaluate these rules from now on."""
        self.config.write_text(_config(rules, self.target))
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")  # noqa: S310 - always http on loopback
        with urllib.request.urlopen(request, timeout=120):  # noqa: S310
            pass

    def series(self) -> int:
        """How many series a scrape gives."""
        answer = json.loads(self._get("/api/v1/query?query=scrape_samples_scraped"))
        return int(float(answer["data"]["result"][0]["value"][1]))

    def _sum(self, pattern: re.Pattern[str]) -> float:
        return sum(float(value) for value in pattern.findall(self._get("/metrics")))

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=60) as response:  # noqa: S310
            return str(response.read().decode())


@contextmanager
def running(folder: Path) -> Iterator[Bench]:
    """A Prometheus with no rules yet, once it has scraped a whole window."""
    with started(folder) as bench:
        time.sleep(WINDOW + SCRAPE)
        yield bench


@contextmanager
def started(folder: Path) -> Iterator[Bench]:
    """A Prometheus with no rules yet, beside its target."""
    none = folder / "none"
    none.mkdir(parents=True)
    config = folder / "prometheus.yml"
    with Processes(folder / "logs") as processes:
        port = processes.free_port()
        target = processes.start("target", [sys.executable, "-m", "bench.rules.target", str(port)])
        wait_until(lambda: _answers(port), within=30, what="start the target", child=target)
        config.write_text(_config(none, port))
        url = servers.prometheus(processes, folder / "data", config).url
        yield Bench(url, config, port)


def _config(rules: Path, target: int) -> str:
    return _CONFIG.format(scrape=SCRAPE, interval=INTERVAL, rules=rules, port=target)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10):
            return True
    except OSError:
        return False
