"""The page of one incident: how it stands, what fires, what was done about it, and its timeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from deploywatch import html
from deploywatch.conventions import AlertAnnotation
from deploywatch.html import Markup, Text
from deploywatch.receiver.api.routing import PREFIX
from deploywatch.receiver.api.schemas import ActionsAnswer, AlertAnswer, CheckAnswer, LineAnswer, WholeIncidentAnswer
from deploywatch.receiver.pages.format import moment, outward

_ALERTS = ("Alert", "State", "Severity", "Since (UTC)", "Until (UTC)", "Summary", "Labels", "Where to look")
_SHOWN_ANYWAY = frozenset({"alertname", "severity"})
_ACTIONS = ("Action", "State", "Began (UTC)", "Ended (UTC)", "Result")
_CHECKLIST = ("Item", "When", "What", "Done")
_TIMELINE = ("At (UTC)", "Who", "What", "Said")
_ATTACHMENTS = ("Found by investigating", "At (UTC)")


def page(incident: WholeIncidentAnswer, actions: ActionsAnswer, *, prefix: str = "") -> web.Response:
    """The incident as the API gives it, for people; `prefix` stands before every path."""
    number, title = incident["id"], f"{incident['service']}: {incident['title']}"
    api = f"{prefix}{PREFIX}/incidents/{number}"
    links = (
        html.link(f"{prefix}/", "Open incidents"),
        html.link(f"{api}/postmortem", "Post-mortem draft"),
        html.link(api, "API"),
        outward(incident["bridge"], "Where people meet"),
    )
    return html.page(
        f"#{number} {title}",
        html.element("h1", title),
        html.element("nav", *links),
        *_next(incident),
        html.table(("", ""), (("", fact) for fact in _facts(incident)), identifier="facts"),
        *_section("Alerts", _ALERTS, map(_alert, incident["alerts"])),
        *_section("Actions", _ACTIONS, _done(incident, actions)),
        *_section("Attachments", _ATTACHMENTS, (_attachment(kept, prefix) for kept in actions["attachments"])),
        *_section("Checklist", _CHECKLIST, _checklist(incident)),
        *_section("Timeline", _TIMELINE, (("", _line(entry)) for entry in incident["timeline"])),
    )


def _next(incident: WholeIncidentAnswer) -> Iterator[Markup]:
    """What is asked of a person, and how that is done."""
    wanted = ("Take it in hand", "acknowledge") if incident["status"] == "open" else None
    if incident["resolved_at"] and incident["review_required"] and not incident["reviewed_at"]:
        wanted = "When its review is done", "review"
    if wanted:
        yield html.element(
            "p", f"{wanted[0]}: ", html.element("code", f"deploywatch incidents {wanted[1]} {incident['id']}")
        )


def _facts(incident: WholeIncidentAnswer) -> Iterator[Sequence[Text]]:
    hold, cause = incident["maintenance"], incident["cause"]
    facts = {
        "Status": f"{incident['status']}, {incident['severity']}",
        "Where": f"{incident['service']} in {incident['environment']}",
        **incident["correlation"],
        "Opened": f"{moment(incident['opened_at'])} UTC",
        "Acknowledged": _by(incident["acknowledged_at"], incident["acknowledged_by"]),
        "Commander": incident["commander"] or "",
        "Actions are held back": f"until {moment(hold['until'])} UTC: {hold['reason']}" if hold else "",
        "Probable cause": f"{cause['cause']}: {cause['why']}" if cause else "",
        "Resolved": _by(incident["resolved_at"], incident["resolved_by"]),
        "Reviewed": _by(incident["reviewed_at"], incident["reviewed_by"]),
    }
    return ((name, text) for name, text in facts.items() if text)


def _by(at: str | None, who: str | None) -> str:
    return f"{moment(at)} UTC by {who}" if at else ""


def _section(title: str, titles: Sequence[str], rows: Iterable[tuple[str, Sequence[Text]]]) -> Iterator[Markup]:
    """A heading and a table, or nothing where there is nothing to tell."""
    cells = list(rows)
    if cells:
        yield html.element("h2", title)
        yield html.table(titles, cells, identifier=title.lower())


def _alert(alert: AlertAnswer) -> tuple[str, Sequence[Text]]:
    annotations = alert["annotations"]
    links = (
        outward(_first(annotations, AlertAnnotation.RUNBOOKS), "Runbook"),
        outward(_first(annotations, AlertAnnotation.DASHBOARDS), "Dashboard"),
        outward(alert["generator_url"], "Query"),
    )
    state, kind = ("firing", "unhealthy") if alert["firing"] else ("resolved", "healthy")
    times = moment(alert["starts_at"]), moment(alert["ends_at"])
    summary = _first(annotations, (AlertAnnotation.SUMMARY, *AlertAnnotation.MESSAGES))
    labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items() if name not in _SHOWN_ANYWAY)
    where = html.element("nav", *links) if any(links) else ""
    return kind, (alert["name"], state, alert["severity"], *times, summary, labels, where)


def _first(annotations: Mapping[str, str], names: Iterable[str]) -> str:
    return next((annotations[name] for name in names if annotations.get(name)), "")


def _done(incident: WholeIncidentAnswer, actions: ActionsAnswer) -> Iterator[tuple[str, Sequence[Text]]]:
    """Rollbacks, what people were asked about them, and everything else that ran."""
    for asked in actions["approvals"]:
        by = f"by {asked['decided_by']}" if asked["decided_by"] else ""
        times = moment(asked["asked_at"]), moment(asked["decided_at"])
        yield "", (f"ask for a rollback to {asked['to_version']}", asked["state"], *times, f"{by} {asked['note']}")
    for rollback in incident["rollbacks"]:
        yield "", (f"rollback from {rollback['from_version']} to {rollback['to_version']}", *_ran(rollback))
    for rollback in actions["runs"]:
        yield "", (rollback["action"], *_ran(rollback))


def _ran(rollback: dict[str, Any]) -> Sequence[str]:
    return rollback["state"], moment(rollback["started_at"]), moment(rollback["finished_at"]), rollback["detail"]


def _attachment(kept: dict[str, Any], prefix: str) -> tuple[str, Sequence[Text]]:
    return "", (html.link(f"{prefix}{kept['url']}", kept["name"]), moment(kept["created_at"]))


def _checklist(incident: WholeIncidentAnswer) -> Iterator[tuple[str, Sequence[Text]]]:
    lists = incident["checklist"]
    for phase, items in (("monitoring", lists["monitoring"]), ("resolution", lists["resolution"])):
        yield from (("", _item(phase, check)) for check in items)


def _item(phase: str, check: CheckAnswer) -> Sequence[Text]:
    return str(check["item"]), phase, check["text"], _by(check["done_at"], check["done_by"])


def _line(entry: LineAnswer) -> Sequence[Text]:
    return moment(entry["at"]), entry["actor"], entry["kind"], html.element("div", entry["text"], class_="said")
