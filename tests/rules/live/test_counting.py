"""A real Prometheus scrapes pods that are born, restart, vanish and do not answer: what is counted is what happened.

The truth is what the pods themselves know. Which of their answers a sample is from, a gauge among them says, so that
it does not matter how punctually a busy machine scrapes.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.parse
import urllib.request
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, wait_until
from deploywatch.rules.build import rule_files
from deploywatch.rules.language.expression import comparisons, parse
from deploywatch.rules.policy import Policy
from deploywatch.rules.resolve import resolve
from deploywatch.rules.signals import counting
from deploywatch.rules.signals.service import error_ratio
from deploywatch.verdict.plan import filled
from tests.rules.live.pods import SCRAPES, Life, Pod
from tests.rules.tools import GOOD, policy_from

WINDOW, MEMORY = 20, 10
"""Seconds: of the policy's window, and for how long before it a counter is remembered."""
END = 120
"""Scrapes of the first pod."""
WHERE = {"service": "shop", "environment": "production"}
Samples = Sequence[tuple[float, int]]
"""Unix times, and which of a pod's answers was stored then."""


def _first(life: Life, scrape: int) -> None:
    """Fails for the first time at 40, restarts at 60, and fails again at 64."""
    if scrape == 60:
        life.restart()
    life.served("200", 7)
    if scrape == 40:
        life.served("500", 3)
    elif 40 < scrape < 60:
        life.served("500", 1)
    elif scrape == 64:
        life.served("500", 2)


def _second(life: Life, scrape: int) -> None:
    """An old process: what it counted before it was found is nobody's business."""
    if scrape == 1:
        life.exposed = {"200": 9000, "500": 700}
        life.happened = {"200": 9000, "500": 700}
    else:
        life.served("200", 5)
        life.served("500", 1)


@dataclass(frozen=True, slots=True)
class Ran:
    """What the pods know, what Prometheus stored of it, and whom to ask."""

    url: str
    lives: Sequence[Life]
    stored: Sequence[Samples]

    def ask(self, query: str, start: float, end: float, step: float) -> list[tuple[float, float]]:
        """The sum of a query's series, over time."""
        times = {"start": str(start), "end": str(end), "step": str(step)}
        return _asked(f"{self.url}/api/v1/query_range", query=f"sum({query})", **times)

    def bounds(self, status: str, at: float, window: float, memory: float) -> tuple[float, float]:
        """The least and the most that may be counted of what happened in a window; the same, where it is exact."""
        parts = [
            _of_pod(life, stored, status, at, window, memory)
            for life, stored in zip(self.lives, self.stored, strict=True)
        ]
        return sum(low for low, _ in parts), sum(high for _, high in parts)


def _of_pod(life: Life, stored: Samples, status: str, at: float, window: float, memory: float) -> tuple[float, float]:
    times = [moment for moment, _ in stored]
    now, before = bisect_right(times, at) - 1, bisect_right(times, at - window) - 1
    if now < 0 or times[now] <= at - window:
        return 0, 0
    last = life.answers[stored[now][1] - 1]
    if before >= 0 and times[before] > at - window - memory:
        first = life.answers[stored[before][1] - 1]
        if last.restarts == first.restarts:
            added = last.happened[status] - first.happened[status]
            return (added if _is_known(life, stored, status, before, memory) else 0), added
    # A restart, or a pod that is new: `increase` counts from the first sample in the window on, and scales that up.
    inside = life.answers[stored[before + 1][1] - 1]
    added = last.happened[status] - inside.happened[status]
    span = times[now] - times[before + 1]
    # What is born after the restart is taken for the series that was there before it.
    low = 0 if inside.exposed[status] is None else added
    return low, added * window / span if span else 0


def _is_known(life: Life, stored: Samples, status: str, before: int, memory: float) -> bool:
    """Whether no series of a process that has ended since is taken for the one that the next process begins."""
    if life.answers[stored[before][1] - 1].exposed[status] is not None:
        return True
    since = stored[before][0] - memory - 1
    return all(life.answers[number - 1].exposed[status] is None for at, number in stored[: before + 1] if at >= since)


def _policy(folder: Path) -> Policy:
    text = GOOD.replace("interval: 30s", "interval: 1s").replace("window: 5m", f"window: {WINDOW}s")
    return policy_from(text.replace("  - alert: Sample\n", "  - alert: Sample\n    keep_firing_for: 1s\n"), folder)


def _configured(folder: Path, policy: Policy) -> Path:
    names = []
    for name, text in rule_files(resolve(policy)):
        names.append(str(folder / Path(name).name))
        Path(names[-1]).write_text(text)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": names,
        "scrape_configs": [{"job_name": "app", "file_sd_configs": [{"files": [str(folder / "targets.json")]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    return folder / "prometheus.yml"


def _discovered(folder: Path, *pods: Pod) -> None:
    """Prometheus watches the file, which appears at once and whole."""
    groups = [{"targets": [f"127.0.0.1:{pod.port}"], "labels": {**WHERE, "pod": str(pod.port)}} for pod in pods]
    beside = folder / "targets.json.new"
    beside.write_text(json.dumps(groups))
    beside.replace(folder / "targets.json")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Two minutes in which a second pod comes and goes, and Prometheus itself is away for a while."""
    folder = tmp_path_factory.mktemp("counting")
    first, second = Life(_first, silent={90: 4}), Life(_second)
    with Pod(first) as stays, Pod(second) as goes, Processes(folder / "logs") as processes:
        _discovered(folder, stays)
        server = servers.prometheus(processes, folder / "data", _configured(folder, _policy(folder)))

        def until(life: Life, scrapes: int) -> None:
            wait_until(lambda: len(life.answers) >= scrapes, within=300, what="be scraped", child=server.child)

        until(first, 45)
        _discovered(folder, stays, goes)
        until(second, 18)
        _discovered(folder, stays)
        until(first, 105)
        server.child.send(signal.SIGSTOP)
        time.sleep(4)
        server.child.send(signal.SIGCONT)
        until(first, END)
        yield Ran(server.url, (first, second), [_stored(server.url, pod.port) for pod in (stays, goes)])


def _stored(url: str, port: int) -> list[tuple[float, int]]:
    return [(at, int(value)) for at, value in _asked(f"{url}/api/v1/query", query=f'{SCRAPES}{{pod="{port}"}}[30m]')]


def _asked(url: str, **parameters: str) -> list[tuple[float, float]]:
    """The samples of the one series that answers."""
    asked = f"{url}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - always http on loopback
        (series,) = json.load(answer)["data"]["result"]
    return [(float(at), float(value)) for at, value in series["values"]]


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("status", ["200", "500"])
def test_signals_count_what_happened_and_are_off_by_a_scrape_at_most_after_a_restart(
    ran: Ran, status: str, tmp_path: Path
) -> None:
    policy = _policy(tmp_path)
    name = error_ratio.error_rate(policy) if status == "500" else error_ratio.good_rate(policy)
    (record,) = (record for record in resolve(policy).records if record.name == name)
    # Between two scrapes: whether one at the very start of a window is in it, Prometheus 2 and 3 see differently.
    start, end = ran.stored[0][0][0] + WINDOW + MEMORY + 0.25, ran.stored[0][-1][0]
    exact = 0
    for at, rate in ran.ask(record.expression, start, end, 0.5):
        low, high = ran.bounds(status, at, WINDOW, MEMORY)
        assert low - 1e-4 <= rate * WINDOW <= high + 1e-4, at - ran.stored[0][0][0]
        exact += low == high
    assert exact > 80


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_the_looks_of_a_verdict_follow_each_other_and_count_every_request_once(ran: Ran, tmp_path: Path) -> None:
    (comparison,) = comparisons(parse("error_ratio > 1%"))
    counts = counting.counts(_policy(tmp_path), comparison, "whole", timedelta(seconds=1))
    start = ran.stored[0][0][0] + 2.5
    looks = int(ran.stored[0][-1][0] - start)
    for query, statuses in ((counts.requests, ("200", "500")), (counts.bad, ("500",))):
        counted = sum(value for _, value in ran.ask(filled(query, WHERE), start, start + looks, 1))
        happened = 0
        for life, stored in zip(ran.lives, ran.stored, strict=True):
            inside = [life.answers[number - 1] for at, number in stored if start - 1 < at <= start + looks]
            earlier = [life.answers[number - 1] for at, number in stored if at <= start - 1]
            first = (earlier or inside)[-1 if earlier else 0]
            happened += sum(inside[-1].happened[status] - first.happened[status] for status in statuses)
        assert counted == happened
