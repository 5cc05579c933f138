"""A story in words: messages from templates, and the draft of the post-mortem."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Template

from deploywatch import logs
from deploywatch.errors import ConfigError, Problem
from deploywatch.receiver.messages import Message, Standing, identity
from deploywatch.receiver.rendering import loading
from deploywatch.receiver.rendering.dedup_key import dedup_key
from deploywatch.receiver.rendering.failure import failure_text, template_problems
from deploywatch.receiver.rendering.filters import markdown, worst_first
from deploywatch.receiver.rendering.links import links_of
from deploywatch.receiver.rendering.naming import subject
from deploywatch.receiver.rendering.plain import event_name, plain_message
from deploywatch.receiver.rendering.postmortem import postmortem_facts, prevention
from deploywatch.receiver.rendering.text import clean, cut, line
from deploywatch.receiver.story import (
    AlertView,
    DeploymentView,
    Event,
    IncidentView,
    RollbackView,
    Story,
    TimelineEntryView,
)

TITLE_LIMIT: Final = 200
BODY_LIMIT: Final = 12_000
# A storm's timeline has thousands of lines; editors and wikis still open a file of this size.
POSTMORTEM_LIMIT: Final = 400_000

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
    *("began", "before"),
)

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
            links=tuple(links_of(story)),
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
            _log.warning(
                "template failed", template=template.name, incident=story.incident.id, error=failure_text(error)
            )
            title, body = plain_message(story, f"{template.name} failed: {failure_text(error)}")
        unnamed = f"{event_name(story.event)}: {subject(story.incident)}"
        return line(title, TITLE_LIMIT) or line(unnamed, TITLE_LIMIT), cut(_tidy(body), BODY_LIMIT)

    def faults(self, story: Story) -> Iterator[Problem]:
        """What makes the template of the story's event fail; nothing, when it renders."""
        template = self._events[story.event]
        yield from template_problems(template, lambda: _blocks(template, story))

    def postmortem_faults(self, story: Story) -> Iterator[Problem]:
        """The same of the post-mortem, with no more than the story knows."""
        variables = postmortem_facts(story.incident, worst_first(story.alerts), (), story.rollback, None)
        yield from template_problems(self._postmortem, lambda: _document(self._postmortem, variables))

    def render_postmortem(
        self,
        incident: IncidentView,
        alerts: Sequence[AlertView],
        timeline: Sequence[TimelineEntryView],
        rollback: RollbackView | None,
        deployment: DeploymentView | None,
    ) -> str:
        """The draft in Markdown, data escaped; when the user's template fails, ours, which says so."""
        variables = postmortem_facts(incident, worst_first(alerts), timeline, rollback, deployment)
        try:
            return _document(self._postmortem, variables)
        except Exception as error:  # whatever a user's template does, there is a draft
            _log.warning("template failed", template=POSTMORTEM, incident=incident.id, error=failure_text(error))
            failure = f"The template {POSTMORTEM} failed: {failure_text(error)}. This is the built-in one."
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
