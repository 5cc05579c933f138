"""The landing page: how every probe is, and what failed last, with the debug output of each result that is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from deploywatch.access.scopes import Scope, needs
from deploywatch.exporter import health
from deploywatch.exporter.board.history import Entry
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.health import ProbeHealth, Status
from deploywatch.exporter.http.probe_route import told
from deploywatch.exporter.results import iso
from deploywatch.exporter.settings.refusal import told as why
from deploywatch.pages.answer import page
from deploywatch.pages.environment import templates_in
from deploywatch.watched_files import WATCHED

MOST_ROWS = 500
"""Probes on one page: a browser, and our event loop, have to live with it."""

MOST_PROBLEMS = 20

_LINKS = {
    "/metrics": "Metrics",
    "/health": "Health",
    "/health/live": "Live",
    "/health/ready": "Ready",
    "/config": "Config",
}
_WORST_FIRST = (Status.UNHEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.HEALTHY)
_TEMPLATES = templates_in(Path(__file__).parent / "templates")


class Landing:
    """Shows the board and the history in a browser."""

    def __init__(self, exporter: Exporter, prefix: str = "") -> None:
        """`prefix` stands before every path that a page links to."""
        self._exporter = exporter
        self._prefix = prefix
        self._board = exporter.board

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        needs(Scope.READ, app.router.add_get("/", self._all))
        needs(Scope.READ, app.router.add_get(r"/results/{number:\d{1,18}}", self._one))

    async def _all(self, request: web.Request) -> web.Response:
        probes = [
            health.of_record(record, self._board.current(record), started=self._exporter.started)
            for record in self._board.records.values()
        ]
        service, status = request.query.get("service", ""), request.query.get("status", "")
        chosen = [probe for probe in probes if service in {"", probe.key.service} and status in {"", probe.status}]
        chosen.sort(key=self._urgency)
        worst = _worst(probes)
        return page(
            _TEMPLATES,
            "landing.html",
            prefix=self._prefix,
            icon="calm" if worst == Status.HEALTHY else "open",
            links=_LINKS.items(),
            summary=_summary(probes, chosen),
            worst=worst,
            stale=[f"{file.path} cannot be used since {iso(file.since)}: {file.problem}" for file in WATCHED.stale()],
            not_probed=self._not_probed(),
            most_problems=MOST_PROBLEMS,
            services=sorted({probe.key.service for probe in probes}),
            statuses=_WORST_FIRST,
            service=service,
            chosen_status=status,
            probes=[self._probe(probe) for probe in chosen[:MOST_ROWS]],
            failures=_results(self._board.history.failures()),
            recent=_results(self._board.history.recent()),
        )

    def _not_probed(self) -> list[str]:
        """What is meant to be probed and is not: faulty files, and the targets that were put aside."""
        files = self._exporter.files
        refused = self._exporter.settings.refused
        texts = [f"module {name} is refused: {why(problems)}" for name, problems in refused.items()]
        return [*texts, *files.problems().values(), *(target.detail for target in files.dropped())]

    async def _one(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        entry = self._board.history.find(number)
        if entry is None:
            title = "No such result"
            return page(
                _TEMPLATES, "result.html", prefix=self._prefix, title=title, entry=None, number=number, status=404
            )
        result, name = entry.result, "/".join(entry.name)
        verdict = "succeeded" if result.success else "failed"
        return page(
            _TEMPLATES,
            "result.html",
            prefix=self._prefix,
            entry=entry,
            title=f"{name}: {verdict}",
            name=name,
            verdict=verdict,
            status_class=_status(entry),
            wrong=f"{result.reason}: {result.detail}" if result.reason else "",
            run=f"{_moment(result.started)}, took {result.duration * 1000:.1f} ms; of the kind {entry.kind}",
            probe=self._now(entry),
            told=told(result),
        )

    def _now(self, entry: Entry) -> dict[str, Any] | None:
        """What whoever was woken asks first: since when, what hangs on it, where it is."""
        key = next((key for key in self._board.records if key == entry.name), None)
        if key is None:
            return None
        record = self._board.records[key]
        return self._probe(health.of_record(record, self._board.current(record), started=self._exporter.started))

    def _urgency(self, probe: ProbeHealth) -> tuple[int, int, float]:
        """The worst first; of these what most others need, then what has failed longest."""
        needed = len(self._needed_by(probe.key.owner))
        return _WORST_FIRST.index(probe.status), -needed, probe.failing_since or 0.0

    def _since(self, moment: float | None) -> str:
        return "" if moment is None else f"{_ago(self._exporter.clock.now() - moment)}, since {_moment(moment)}"

    def _probe(self, probe: ProbeHealth) -> dict[str, Any]:
        result, failure = probe.result, self._board.history.last_failure(probe.key)
        now = self._exporter.clock.now()
        return {
            "status": probe.status,
            "service": probe.key.service,
            "name": probe.key.probe,
            "environment": probe.key.environment,
            "kind": probe.kind,
            "error": probe.error,
            # What is wrong now leads to its debug output with one click.
            "failure": failure.number if failure else None,
            "failed_at": _moment(failure.result.started) if failure else "",
            "says": probe.error or _says(probe),
            "since": self._since(probe.failing_since),
            "needed_by": self._needed_by(probe.key.owner),
            "target": probe.target,
            "checked": f"{_ago(now - result.started)} ago, took {result.duration * 1000:.1f} ms" if result else "",
        }

    def _needed_by(self, owner: ServiceKey) -> list[str]:
        return list(self._board.dependents.get(owner, ()))


def _moment(moment: float) -> str:
    """Unix time to the second, for people."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}Z"


def _ago(seconds: float) -> str:
    """How long, in the two largest units."""
    left = max(0, int(seconds))
    parts = [(left // 86400, "d"), (left // 3600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    first = next((place for place, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number) or "0 s"


def _worst(probes: list[ProbeHealth]) -> str:
    """The class of the worst status there is."""
    return str(min((probe.status for probe in probes), key=_WORST_FIRST.index, default=Status.HEALTHY))


def _says(probe: ProbeHealth) -> str:
    """What a service that is degraded says of itself."""
    application = probe.result.application if probe.result else None
    return f"it says: {application.status}" if probe.status is Status.DEGRADED and application else ""


def _summary(probes: list[ProbeHealth], chosen: list[ProbeHealth]) -> str:
    numbers = {status: sum(probe.status is status for probe in probes) for status in _WORST_FIRST}
    always = {Status.UNHEALTHY, Status.HEALTHY}
    counts = (f"{number} {status}" for status, number in numbers.items() if number or status in always)
    cut = f" The first {MOST_ROWS} of {len(chosen)} are shown." if len(chosen) > MOST_ROWS else ""
    return f"{len(probes)} probes: {', '.join(counts)}.{cut}"


def _results(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "number": entry.number,
            "name": "/".join(entry.name),
            "kind": entry.kind,
            "status": _status(entry),
            "reason": f"{entry.result.reason}: {entry.result.detail}" if entry.result.reason else "",
            "took": f"{entry.result.duration * 1000:.1f} ms",
            "began": iso(entry.result.started),
        }
        for entry in entries
    ]


def _status(entry: Entry) -> Status:
    return Status.HEALTHY if entry.result.success else Status.UNHEALTHY
