"""The landing page: how every probe is, and what failed last, with the debug output of each result that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web

from deploywatch import __version__, html
from deploywatch.exporter import health
from deploywatch.exporter.board.history import Entry
from deploywatch.exporter.config import ServiceKey
from deploywatch.exporter.exporter import Exporter
from deploywatch.exporter.health import ProbeHealth, Status
from deploywatch.exporter.http.probe_route import told
from deploywatch.exporter.results import iso
from deploywatch.exporter.settings.refusal import told as why
from deploywatch.html import Markup, Text
from deploywatch.scopes import Scope, needs
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
_PROBES = ("Status", "Probe", "What is wrong", "Failing since", "Needed by", "Target", "Last checked")
_RESULTS = ("Result", "Probe", "Kind", "Status", "Reason", "Response time", "Began")


class Landing:
    """Shows the board and the history in a browser."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
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
        history = self._board.history
        return html.page(
            "deploywatch exporter",
            html.element("h1", "deploywatch exporter"),
            html.element("nav", f"Version {__version__}. ", *(html.link(path, name) for path, name in _LINKS.items())),
            html.element("p", _summary(probes, chosen), id="summary", class_=_worst(probes)),
            *self._not_probed(),
            _filter(sorted({probe.key.service for probe in probes}), service, status),
            html.table(_PROBES, (self._probe(probe) for probe in chosen[:MOST_ROWS]), identifier="probes"),
            html.element("h2", "Last failures"),
            _results(history.failures(), "failures"),
            html.element("h2", "Last results"),
            html.element("details", html.element("summary", "Show"), _results(history.recent(), "results")),
        )

    def _not_probed(self) -> list[Markup]:
        """What is meant to be probed and is not: faulty files, and the targets that were put aside."""
        files = self._exporter.files
        refused = self._exporter.settings.refused
        texts = [f"module {name} is refused: {why(problems)}" for name, problems in refused.items()]
        texts += [*files.problems().values(), *(target.detail for target in files.dropped())]
        stale = [
            html.element("li", f"{file.path} cannot be used since {iso(file.since)}: {file.problem}")
            for file in WATCHED.stale()
        ]
        old: list[Markup] = []
        if stale:
            title = "The last good content of these files goes on, until the next start:"
            old = [html.element("p", title, class_="unhealthy"), html.element("ul", *stale, id="stale-files")]
        if not texts:
            return old
        shown = [html.element("li", text) for text in texts[:MOST_PROBLEMS]]
        more = f" The first {MOST_PROBLEMS} are shown." if len(texts) > MOST_PROBLEMS else ""
        title = f"{len(texts)} modules, targets or files of targets are not probed as they are written.{more}"
        return [*old, html.element("p", title, class_="unhealthy"), html.element("ul", *shown, id="not-probed")]

    async def _one(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        entry = self._board.history.find(number)
        if entry is None:
            gone = html.element("p", f"Result {number} is not kept any more, or has not been yet.")
            return html.page("No such result", html.element("h1", "No such result"), gone, _back(), status=404)
        result = entry.result
        verdict = "succeeded" if result.success else "failed"
        wrong = [html.element("p", f"{result.reason}: {result.detail}", class_="unhealthy")] if result.reason else []
        return html.page(
            f"{'/'.join(entry.name)}: {verdict}",
            html.element("h1", html.breakable("/".join(entry.name)), f": {verdict}", class_=_class(entry)),
            *wrong,
            html.table(("", ""), (("", fact) for fact in self._facts(entry)), identifier="facts"),
            html.element("h2", "Debug output"),
            html.element("pre", told(result)),
            _back(),
        )

    def _facts(self, entry: Entry) -> Iterator[tuple[str, Text]]:
        """What whoever was woken asks first: since when, what hangs on it, where it is."""
        key = next((key for key in self._board.records if key == entry.name), None)
        record = self._board.records[key] if key else None
        began = f"{_moment(entry.result.started)}, took {entry.result.duration * 1000:.1f} ms"
        yield "This run", f"{began}; of the kind {entry.kind}"
        if key is None or record is None:
            return
        probe = health.of_record(record, self._board.current(record), started=self._exporter.started)
        now = html.element("strong", str(probe.status), class_=str(probe.status))
        yield "Now", html.element("span", now, f", {probe.error}" if probe.error else "")
        if probe.failing_since is not None:
            yield "Failing since", self._since(probe.failing_since)
        if needed := self._needed_by(key.owner):
            yield "Needed by", needed
        yield "Target", probe.target

    def _urgency(self, probe: ProbeHealth) -> tuple[int, int, float]:
        """The worst first; of these what most others need, then what has failed longest."""
        needed = len(self._board.dependents.get(probe.key.owner, ()))
        return _WORST_FIRST.index(probe.status), -needed, probe.failing_since or 0.0

    def _since(self, moment: float) -> str:
        return f"{_ago(self._exporter.clock.now() - moment)}, since {_moment(moment)}"

    def _probe(self, probe: ProbeHealth) -> tuple[str, Sequence[Text]]:
        result, failure = probe.result, self._board.history.last_failure(probe.key)
        now = self._exporter.clock.now()
        checked = f"{_ago(now - result.started)} ago, took {result.duration * 1000:.1f} ms" if result else ""
        wrong: Text = _says(probe)
        since: Text = self._since(probe.failing_since) if probe.failing_since is not None else ""
        if failure and probe.error:
            # What is wrong now leads to its debug output with one click.
            wrong = html.link(f"/results/{failure.number}", probe.error)
        elif failure:
            last = html.link(f"/results/{failure.number}", _moment(failure.result.started))
            since = html.element("span", "not now, last ", last)
        status = html.element("strong", str(probe.status), class_=str(probe.status))
        name = html.element("strong", f"{probe.key.service} / {probe.key.probe}")
        place = html.element("small", f"{probe.key.environment}, {probe.kind}")
        whole = html.element("span", name, " ", place)
        return "", [status, whole, wrong, since, self._needed_by(probe.key.owner), probe.target, checked]

    def _needed_by(self, owner: ServiceKey) -> Text:
        links: list[Text] = []
        for name in self._board.dependents.get(owner, ()):
            links += [", "] if links else []
            links.append(html.link(f"/?{urlencode({'service': name})}", name))
        return html.element("span", *links) if links else ""


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


def _filter(services: list[str], service: str, status: str) -> Markup:
    fields = (
        html.choice("service", "Service", services, service),
        html.choice("status", "Status", _WORST_FIRST, status),
        html.element("button", "Filter"),
    )
    return html.element("form", *fields, method="get", action="/")


def _results(entries: list[Entry], identifier: str) -> Markup:
    if not entries:
        return html.element("p", "None since the start.")
    return html.table(_RESULTS, (_result(entry) for entry in entries), identifier=identifier)


def _result(entry: Entry) -> tuple[str, Sequence[Text]]:
    result = entry.result
    reason = f"{result.reason}: {result.detail}" if result.reason else ""
    number = html.link(f"/results/{entry.number}", f"#{entry.number}")
    took, began = f"{result.duration * 1000:.1f} ms", iso(result.started)
    status = "healthy" if result.success else "unhealthy"
    return _class(entry), [number, "/".join(entry.name), entry.kind, status, reason, took, began]


def _class(entry: Entry) -> str:
    return str(Status.HEALTHY if entry.result.success else Status.UNHEALTHY)


def _back() -> Markup:
    return html.element("p", html.link("/", "All probes"))
