"""The landing page: how every probe is, and what failed last, with the debug output of each result that is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from deploywatch.access.scopes import Scope, needs
from deploywatch.exporter.board.history import Entry
from deploywatch.exporter.board.record import Record
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.health import services as health
from deploywatch.exporter.health.probes import ProbeHealth, Status, of_record
from deploywatch.exporter.http import pictures
from deploywatch.exporter.http.health_routes import HealthRoutes
from deploywatch.exporter.http.landing_rows import (
    MOST_ROWS,
    WORST_FIRST,
    ago,
    element_id,
    milliseconds,
    result_rows,
    says,
    service_row,
    short_run,
    status_of_entry,
    summary,
    to_the_second,
    worst_class,
)
from deploywatch.exporter.http.probe_route import told
from deploywatch.exporter.results import iso
from deploywatch.exporter.settings.refusal import told as why
from deploywatch.exporter.targets import Key
from deploywatch.files.watched_files import WATCHED
from deploywatch.pages.answer import page
from deploywatch.pages.environment import templates_in
from deploywatch.pages.live import PATH as LIVE
from deploywatch.pages.live import Live
from deploywatch.web.long_requests import Long, takes_long

MOST_PROBLEMS = 20

_LINKS = {
    "/": "Probes",
    "/services": "Services",
    "/wall": "Wall",
    "/metrics": "Metrics",
    "/health": "Health",
    "/config": "Config",
}
_TEMPLATES = templates_in(Path(__file__).parent / "templates")


class Landing:
    """Shows the board and the history in a browser."""

    def __init__(self, exporter: Exporter, health_routes: HealthRoutes, live: Live, prefix: str = "") -> None:
        """`prefix` stands before every path that a page links to."""
        self._exporter = exporter
        self._health = health_routes
        self._live = live
        self._prefix = prefix
        self._board = exporter.board

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        router = app.router
        needs(Scope.READ, router.add_get("/", self._all))
        needs(Scope.READ, router.add_get("/wall", self._wall))
        needs(Scope.READ, router.add_get("/services", self._services))
        needs(Scope.READ, router.add_get("/probes/{service}/{environment}/{probe:[^/]+}", self._probe_page))
        takes_long(Long.LIVE, needs(Scope.READ, router.add_get(LIVE, self._live.stream)))
        app.on_shutdown.append(self._live.stop)
        needs(Scope.READ, app.router.add_get(r"/results/{number:\d{1,18}}", self._one))

    def _page(self, request: web.Request, template: str, /, *, status: int = 200, **values: Any) -> web.Response:
        """A page with what all of them show."""
        now = datetime.fromtimestamp(self._exporter.clock.now(), UTC)
        probes = self._known()
        worst = worst_class(probes)
        return page(
            _TEMPLATES,
            template,
            status=status,
            prefix=self._prefix,
            now=now,
            here=request.path,
            change=changed(self._exporter),
            icon="calm" if worst == Status.HEALTHY else "open",
            links=_LINKS.items(),
            worst=worst,
            failing=sum(probe.status is Status.UNHEALTHY for probe in probes),
            **values,
        )

    def _known(self) -> list[ProbeHealth]:
        return [self._of(record) for record in self._board.records.values()]

    def _of(self, record: Record) -> ProbeHealth:
        return of_record(record, self._board.current(record), started=self._exporter.started)

    async def _all(self, request: web.Request) -> web.Response:
        probes = self._known()
        service, status = request.query.get("service", ""), request.query.get("status", "")
        chosen = [probe for probe in probes if service in {"", probe.key.service} and status in {"", probe.status}]
        chosen.sort(key=self._urgency)
        return self._page(
            request,
            "landing.html",
            summary=summary(probes, chosen),
            stale=[f"{file.path} cannot be used since {iso(file.since)}: {file.problem}" for file in WATCHED.stale()],
            not_probed=self._not_probed(),
            most_problems=MOST_PROBLEMS,
            services=sorted({probe.key.service for probe in probes}),
            statuses=WORST_FIRST,
            service=service,
            chosen_status=status,
            probes=[self._probe(probe) for probe in chosen[:MOST_ROWS]],
            failures=result_rows(self._board.history.failures()),
            recent=result_rows(self._board.history.recent()),
        )

    async def _wall(self, request: web.Request) -> web.Response:
        """What is not well, large, for a screen that nobody touches."""
        probes = self._known()
        bad = sorted((probe for probe in probes if probe.status is not Status.HEALTHY), key=self._urgency)
        shown = [self._probe(probe) for probe in bad[:MOST_ROWS]]
        return self._page(request, "wall.html", summary=summary(probes, bad), probes=shown)

    async def _services(self, request: web.Request) -> web.Response:
        """Each service with what it depends on and says of itself; and what the health endpoints answer."""
        services = health.services(self._known(), self._board.dependencies).values()
        return self._page(
            request,
            "services.html",
            found=[
                service_row(service)
                for service in sorted(services, key=lambda service: (WORST_FIRST.index(service.status), service.key))
            ],
            answers=await self._health.answers(request),
            environment=self._exporter.settings.environment,
        )

    async def _probe_page(self, request: web.Request) -> web.Response:
        """One probe: its strip, latency, results, and the debug output of its last run."""
        names = request.match_info
        key = Key(names["service"], names["environment"], names["probe"])
        record = self._board.records.get(key)
        if record is None:
            title, number = "No such probe", "/".join(key)
            return self._page(request, "result.html", title=title, entry=None, number=number, status=404)
        results, numbers = list(record.strip), self._board.history.numbers(key)
        took = [result.duration for result in results]
        return self._page(
            request,
            "probe.html",
            probe=self._probe(self._of(record)),
            latency=pictures.latency(results, 600, 80),
            slowest=milliseconds(max(took)) if took else "",
            fastest=milliseconds(min(took)) if took else "",
            results=[short_run(result, numbers) for result in reversed(results)],
            told=told(record.last) if record.last else "",
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
            return self._page(request, "result.html", title=title, entry=None, number=f"Result {number}", status=404)
        result, name = entry.result, "/".join(entry.name)
        verdict = "succeeded" if result.success else "failed"
        return self._page(
            request,
            "result.html",
            entry=entry,
            title=f"{name}: {verdict}",
            name=name,
            verdict=verdict,
            status_class=status_of_entry(entry),
            wrong=f"{result.reason}: {result.detail}" if result.reason else "",
            run=f"{to_the_second(result.started)}, took {result.duration * 1000:.1f} ms; of the kind {entry.kind}",
            probe=self._now(entry),
            told=told(result),
        )

    def _now(self, entry: Entry) -> dict[str, Any] | None:
        """What whoever was woken asks first: since when, what hangs on it, where it is."""
        key = next((key for key in self._board.records if key == entry.name), None)
        if key is None:
            return None
        return self._probe(self._of(self._board.records[key]))

    def _urgency(self, probe: ProbeHealth) -> tuple[int, int, float]:
        """The worst first; of these what most others need, then what has failed longest."""
        needed = len(self._needed_by(probe.key.owner))
        return WORST_FIRST.index(probe.status), -needed, probe.failing_since or 0.0

    def _since(self, moment: float | None) -> str:
        return "" if moment is None else f"{ago(self._exporter.clock.now() - moment)}, since {to_the_second(moment)}"

    def _probe(self, probe: ProbeHealth) -> dict[str, Any]:
        result, failure = probe.result, self._board.history.last_failure(probe.key)
        record = self._board.records.get(probe.key)
        kept = list(record.strip) if record else []
        reason = result.reason if result else None
        now = self._exporter.clock.now()
        return {
            "id": element_id("probe", probe.key),
            "path": "/probes/" + "/".join(quote(part, safe="") for part in probe.key),
            "runs": pictures.runs(kept),
            "sentence": pictures.sentence(kept),
            "words": pictures.WORDS[reason] if reason else "",
            "detail": result.detail if result and reason else says(probe),
            "status": probe.status,
            "service": probe.key.service,
            "name": probe.key.probe,
            "environment": probe.key.environment,
            "kind": probe.kind,
            "error": probe.error,
            # What is wrong now leads to its debug output with one click.
            "failure": failure.number if failure else None,
            "failed_at": to_the_second(failure.result.started) if failure else "",
            "says": probe.error or says(probe),
            "since": self._since(probe.failing_since),
            "needed_by": self._needed_by(probe.key.owner),
            "target": probe.target,
            "checked": f"{ago(now - result.started)} ago, took {result.duration * 1000:.1f} ms" if result else "",
        }

    def _needed_by(self, owner: ServiceKey) -> list[str]:
        return list(self._board.dependents.get(owner, ()))


def changed(exporter: Exporter) -> str:
    """A text that differs once a probe is as it was not before."""
    return f"{id(exporter.board):x}-{exporter.board.changes}"
