"""The page of all incidents: what is wrong, how bad, since when, and who has it in hand."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from aiohttp import web

from deploywatch import __version__, html
from deploywatch.conventions import SEVERITIES
from deploywatch.html import Text
from deploywatch.receiver.api.schemas import IncidentAnswer
from deploywatch.receiver.incidents import store
from deploywatch.receiver.pages.format import moment

_TITLES = ("Incident", "Severity", "Status", "Service", "Environment", "What", "Opened (UTC)", "In hand")
_LINKS = {
    "/?status=all": "All incidents",
    "/api/v1/incidents": "API",
    "/api/v1/openapi.json": "OpenAPI",
    "/metrics": "Metrics",
    "/config": "Config",
    "/-/healthy": "Live",
    "/-/ready": "Ready",
}


def page(incidents: Sequence[IncidentAnswer], *, every: bool, most: int, prefix: str = "") -> web.Response:
    """The open incidents, the worst first, or the newest of `every` one; of more than `most` it says so.

    `prefix` stands before every path: the receiver is below it for people.
    """
    shown = list(incidents) if every else sorted(incidents, key=lambda incident: SEVERITIES.index(incident["severity"]))
    what = "newest" if every else "open"
    cut = f" There may be more: the newest {most} are shown." if len(shown) == most else ""
    links = (html.link(f"{prefix}{path}", name) for path, name in _LINKS.items())
    return html.page(
        "deploywatch receiver",
        html.element("h1", "deploywatch receiver"),
        html.element("nav", f"Version {__version__}. ", *links),
        html.element("h2", "Incidents" if every else "Open incidents"),
        html.element("p", f"{len(shown)} {what}.{cut}", id="summary"),
        html.table(_TITLES, (_row(incident, prefix) for incident in shown), identifier="incidents"),
    )


def _row(incident: IncidentAnswer, prefix: str) -> tuple[str, Sequence[Text]]:
    path = f"{prefix}{store.PAGE.format(id=incident['id'])}"
    facts = itemgetter("severity", "status", "service", "environment")(incident)
    hand = incident["commander"] or incident["acknowledged_by"] or ""
    cells = (html.link(path, str(incident["id"])), *facts, incident["title"], moment(incident["opened_at"]), hand)
    return "healthy" if incident["resolved_at"] else "unhealthy", cells
