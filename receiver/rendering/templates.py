"""A story in words: messages from templates, and the draft of the post-mortem."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final

from jinja2 import Template
from jinja2.exceptions import TemplateError

from deploywatch import logs
from deploywatch.errors import ConfigError, Problem
from deploywatch.receiver.messages import (
    APPROVE,
    REJECT,
    AlertView,
    DeploymentView,
    Event,
    IncidentView,
    Message,
    RollbackView,
    Standing,
    Story,
    TimelineEntryView,
    identity,
)
from deploywatch.receiver.rendering import loading
from deploywatch.receiver.rendering.filters import (
    clean,
    cut,
    line,
    markdown,
    measured,
    named,
    since,
    subject,
    utc,
    web_link,
    where,
    worst_first,
)

TITLE_LIMIT: Final = 200
BODY_LIMIT: Final = 12_000
# A storm's timeline has thousands of lines; editors and wikis still open a file of this size.
POSTMORTEM_LIMIT: Final = 400_000
DEDUP_KEY_LIMIT: Final = 255
"""PagerDuty's limit, the narrowest of those that take a key."""
LINKS_OF_A_KIND: Final = 3

POSTMORTEM: Final = "postmortem.md.j2"
MESSAGE_VARIABLES: Final = (
    *("event", "at", "incident", "alerts", "firing", "lead", "rollback", "note", "next_update", "eta", "expires"),
    *("approve_url", "reject_url", "degradation", "cause", "prevention", "deployment", "bridge", "headline"),
)
CHANGES_STATE: Final = frozenset(
    {
        *(Event.ACKNOWLEDGED, Event.WORSENED, Event.UPDATE, Event.RESOLVED),
        *(event for event in Event if event.startswith(("rollback_", "approval_"))),
    }
)
"""Events after which the incident's first message is out of date."""
POSTMORTEM_VARIABLES: Final = (
    *("incident", "alerts", "timeline", "rollback", "deployment", "lead", "duration", "happened", "sent", "prevention"),
)

NOT_WHAT_HAPPENED: Final = frozenset(
    {"told", "fell_back", "reminded", "duplicate", "older_episode", "annotations_changed"}
)
"""Kinds of lines that a review does not need: what was sent, and what came once more."""
_STORY: Final = frozenset(field.name for field in fields(Story)) - {"event", "alerts"}
_log = logs.get("templates")


class Templates:
    """The templates of all events and of the post-mortem, compiled.

    A file in `folder` replaces ours of the same name. Raises ConfigError with every fault of every file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        plain = loading.environment(folder)
        escaped = loading.environment(folder, finalize=markdown)
        names = {event: f"{event}{loading.SUFFIX}" for event in Event}
        problems = loading.unknown_files(folder, [*names.values(), POSTMORTEM]) if folder else []
        seen: set[str] = set()
        for name in names.values():
            problems += loading.check(plain, name, variables=MESSAGE_VARIABLES, blocks=("title", "body"), seen=seen)
        problems += loading.check(escaped, POSTMORTEM, variables=POSTMORTEM_VARIABLES, blocks=(), seen=set())
        if problems:
            raise ConfigError(sorted(set(problems)))
        self._events = {event: plain.get_template(name) for event, name in names.items()}
        self._postmortem = escaped.get_template(POSTMORTEM)
        self._own_postmortem = escaped.get_template(f"{loading.PREFIX}/{POSTMORTEM}")

    def render(self, story: Story) -> Message:
        """The story as a message; a template that fails gives a plain one that says so and keeps the facts."""
        title, body = self._words(story)
        return Message(
            event=story.event,
            incident=story.incident,
            title=title,
            body=body,
            dedup_key=dedup_key(story.incident),
            id=identity(dedup_key(story.incident), story.event, story.at, title, body),
            links=tuple(_links(story)),
            at=story.at,
            standing=self._standing(story) if story.event in CHANGES_STATE else None,
            expires=story.expires if story.event is Event.APPROVAL_WANTED else None,
        )

    def _standing(self, story: Story) -> Standing:
        """The opening told again, of the incident as it is now."""
        return Standing(*self._words(replace(story, event=Event.OPENED, rollback=None, note=story.rollback_said)))

    def _words(self, story: Story) -> tuple[str, str]:
        template = self._events[story.event]
        try:
            title, body = _blocks(template, story)
        except Exception as error:  # whatever a user's template does, the alert is told
            _log.warning("template failed", template=template.name, incident=story.incident.id, error=_told(error))
            title, body = _plain(story, f"{template.name} failed: {_told(error)}")
        unnamed = f"{_named(story.event)}: {subject(story.incident)}"
        return line(title, TITLE_LIMIT) or line(unnamed, TITLE_LIMIT), cut(_tidy(body), BODY_LIMIT)

    def faults(self, story: Story) -> Iterator[Problem]:
        """What makes the template of the story's event fail; nothing, when it renders."""
        template = self._events[story.event]
        yield from _failure(template, lambda: _blocks(template, story))

    def postmortem_faults(self, story: Story) -> Iterator[Problem]:
        """The same of the post-mortem, with no more than the story knows."""
        variables = _about(story.incident, worst_first(story.alerts), (), story.rollback, None)
        yield from _failure(self._postmortem, lambda: _document(self._postmortem, variables))

    def render_postmortem(
        self,
        incident: IncidentView,
        alerts: Sequence[AlertView],
        timeline: Sequence[TimelineEntryView],
        rollback: RollbackView | None,
        deployment: DeploymentView | None,
    ) -> str:
        """The draft in Markdown, data escaped; when the user's template fails, ours, which says so."""
        variables = _about(incident, worst_first(alerts), timeline, rollback, deployment)
        try:
            return _document(self._postmortem, variables)
        except Exception as error:  # whatever a user's template does, there is a draft
            _log.warning("template failed", template=POSTMORTEM, incident=incident.id, error=_told(error))
            failure = f"The template {POSTMORTEM} failed: {_told(error)}. This is the built-in one."
            return f"*{markdown(failure)}*\n\n{_document(self._own_postmortem, variables)}"


def render_postmortem(
    incident: IncidentView,
    alerts: Sequence[AlertView],
    timeline: Sequence[TimelineEntryView],
    rollback: RollbackView | None,
    deployment: DeploymentView | None,
) -> str:
    """The draft of the post-mortem, from our own template."""
    return _ours().render_postmortem(incident, alerts, timeline, rollback, deployment)


@cache
def _ours() -> Templates:
    return Templates()


def dedup_key(incident: IncidentView) -> str:
    """What names this incident, and no other of any receiver, on every channel for its whole life."""
    opened = incident.opened_at if incident.opened_at.tzinfo else incident.opened_at.replace(tzinfo=UTC)
    place = f"{incident.environment}/{incident.service}"
    key = f"deploywatch/{place}/{incident.id}/{int(opened.timestamp())}"
    if len(key) <= DEDUP_KEY_LIMIT and key.isascii() and key.isprintable():
        return key
    digest = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"deploywatch/{digest}/{incident.id}/{int(opened.timestamp())}"


def _about(
    incident: IncidentView,
    alerts: Sequence[AlertView],
    timeline: Sequence[TimelineEntryView],
    rollback: RollbackView | None,
    deployment: DeploymentView | None,
) -> dict[str, object]:
    """The variables of the post-mortem; the worst alert is the first.

    `happened` is the timeline without what was only sent or repeated, `sent` how many lines that leaves out.
    """
    ordered = sorted(timeline, key=lambda entry: entry.at)
    happened = [entry for entry in ordered if entry.kind not in NOT_WHAT_HAPPENED]
    return {
        "happened": happened,
        "sent": len(ordered) - len(happened),
        "prevention": prevention(alerts, rollback, deployment),
        "incident": incident,
        "alerts": alerts,
        "timeline": ordered,
        "rollback": rollback,
        "deployment": deployment,
        "lead": alerts[0] if alerts else None,
        "duration": incident.duration,
    }


def prevention(alerts: Sequence[AlertView], rollback: RollbackView | None, deployment: DeploymentView | None) -> str:
    """What would keep it from happening again, as far as alerts, rollback and deployment say it; else an empty text.

    The annotation `prevention` of an alert goes first.
    """
    if sentence := next((text for alert in alerts if (text := alert.annotations.get("prevention", "").strip())), ""):
        return line(sentence, 500)
    if rollback is not None and rollback.from_version:
        version = line(rollback.from_version, 80)
        return f"find what {version} broke, and add a check that finds it before it is deployed again"
    if deployment is not None:
        version = line(deployment.version, 80)
        return f"look whether {version} caused it, and add a check that would have found it before the deployment"
    return ""


def _failure(template: Template, render: Callable[[], object]) -> Iterator[Problem]:
    try:
        render()
    except Exception:  # whatever a user's template does
        try:
            template.environment.handle_exception()  # raises it again, with the template's own lines
        except Exception as error:
            places = [(frame.filename, frame.lineno or 0) for frame in extract_tb(error.__traceback__)]
            file, number = next(
                (place for place in reversed(places) if place[0].endswith(loading.SUFFIX)), (template.filename or "", 0)
            )
            yield Problem(file, number, 1, "", f"fails when it is rendered: {_told(error)}")


def _document(template: Template, variables: dict[str, object]) -> str:
    return _tidy(_capped(template.generate(variables), POSTMORTEM_LIMIT)) + "\n"


def _blocks(template: Template, story: Story) -> tuple[str, str]:
    context = template.new_context(_variables(story))
    # The template as a whole runs first: that binds its imports, its variables and the blocks that it inherits.
    deque(template.root_render_func(context), maxlen=0)

    def block(name: str, limit: int) -> str:
        functions: list[Callable[[Any], Iterator[str]]] = context.blocks[name]
        return _capped(functions[0](context), limit)

    return block("title", TITLE_LIMIT * 2), block("body", BODY_LIMIT * 2)


def _variables(story: Story) -> dict[str, object]:
    ordered = worst_first(story.alerts)
    return {
        "event": story.event.value,
        "alerts": ordered,
        "firing": [alert for alert in ordered if alert.firing],
        "lead": ordered[0] if ordered else None,
        **{name: getattr(story, name) for name in MESSAGE_VARIABLES if name in _STORY},
        "prevention": story.prevention or prevention(ordered, story.rollback, story.deployment),
    }


def _capped(pieces: Iterable[str], limit: int) -> str:
    """The pieces joined, given up once there is more than anybody will be shown."""
    taken, size = [], 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size > limit:
            break
    return cut("".join(taken), limit)


def _tidy(text: str) -> str:
    """Clean text without spaces at line ends and without more than one empty line in a row."""
    lines = "\n".join(text_line.rstrip() for text_line in clean(text).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def _plain(story: Story, failure: str) -> tuple[str, str]:
    """Title and body without any template: the facts, and that the template failed."""
    incident, alerts = story.incident, worst_first(story.alerts)
    lead = alerts[0] if alerts else None
    rollback = story.rollback
    facts = {
        "Event": _named(story.event),
        "What": line((lead.summary if lead else "") or incident.title),
        "Alert": named(lead, incident) if lead else "",
        "Where": where(incident),
        "Since": since(lead if lead and lead.firing else incident, story.at),
        "How bad": ", ".join(part for part in (line(incident.severity, 40), measured(lead)) if part),
        "Ended": utc(incident.resolved_at) if incident.resolved_at else "",
        "Rollback": line(f"{rollback.from_version} → {rollback.to_version} {rollback.detail}") if rollback else "",
        "Note": line(story.note, 1000),
        "Alerts": line(", ".join(alert.name for alert in alerts[:20]), 1000),
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    title = f"{facts['Event']}: {subject(incident)}"
    return title, "\n".join(
        [*lines, "", f"This message is plain because its template {failure}. Correct the template."]
    )


def _named(event: Event) -> str:
    return event.value.replace("_", " ").capitalize()


def _told(error: Exception) -> str:
    message = error.message if isinstance(error, TemplateError) else str(error)
    return line(f"{type(error).__name__}: {message or 'no reason given'}")


def _links(story: Story) -> Iterator[tuple[str, str]]:
    alerts = worst_first(story.alerts)
    if story.event is Event.APPROVAL_WANTED:
        decisions = ((APPROVE, web_link(story.approve_url)), (REJECT, web_link(story.reject_url)))
        yield from ((name, link) for name, link in decisions if link)
    kinds = {
        "Incident": [story.incident.url],
        "Bridge": [] if story.incident.resolved_at else [story.bridge],
        "Runbook": [alert.runbook_url for alert in alerts],
        "Dashboard": [alert.dashboard_url for alert in alerts],
        "Prometheus": [alert.source_url for alert in alerts],
    }
    for name, urls in kinds.items():
        unique = list(dict.fromkeys(link for link in map(web_link, urls) if link))[:LINKS_OF_A_KIND]
        for number, link in enumerate(unique, start=1):
            yield (name if len(unique) == 1 else f"{name} {number}"), link
