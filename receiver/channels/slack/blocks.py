"""A message as Slack's Block Kit, within its limits; its data stands where Slack reads no markup.

Block Kit has no escape for `*`, `_`, `~` and a backtick in `mrkdwn`, but two kinds of text that know none of them:
`plain_text`, and the runs of `rich_text`, whose bold is a property of the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from deploywatch.receiver.channels.signs import sign
from deploywatch.receiver.channels.slack.requests import Action, value
from deploywatch.receiver.channels.slack.text import TEXT_LIMIT, called, escape, text, whole_escapes
from deploywatch.receiver.messages import APPROVE, REJECT, Message, Standing
from deploywatch.receiver.rendering.filters import time_of_day
from deploywatch.receiver.rendering.naming import where
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.story import Event

TOTAL_LIMIT: Final = 9000
"""Characters of text and blocks together; Slack refuses somewhat more with msg_blocks_too_long."""
# Characters, by Slack's documentation of blocks; a message with a longer one is refused whole.
HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 3000
LABEL_LIMIT: Final = 75
CONTEXT_LIMIT: Final = 400
LINKS_LIMIT: Final = 2500
"""Characters of all links together."""
BUTTONS: Final = 12
SECTIONS_FRAME: Final = 200
"""Characters that the body's blocks have beside their text and their labels."""
LABELS: Final = 60
"""Labels of the body that are shown in bold; no message of ours has so many."""
RUN: Final = len("text") * 2
"""Characters that a label in bold takes beside its own."""

SAFE_IN_URL: Final = "%/:=&?~#+!$,;@()*[]"

_LABEL = re.compile(r"^([A-Z][A-Za-z ]{1,24}:)(?= )", re.MULTILINE)

Block = dict[str, Any]


def plain(message: Message, mention: str | None = None) -> list[Block]:
    """The whole message, links included, as sections of plain text: for when Slack refuses its blocks."""
    links = "\n".join(f"{name}: {url}" for name, url in _shown_links(message))
    whole = f"{sign(message)} {line(message.title, TEXT_LIMIT // 2)}\n{cut(message.body, SECTION_LIMIT)}\n{links}"
    room = TOTAL_LIMIT - len(text(message, mention)) - SECTIONS_FRAME
    words = [
        {"type": "section", "text": {"type": "plain_text", "text": part, "emoji": False}}
        for part in _parts(escape(whole.rstrip(), room), SECTION_LIMIT)
    ]
    return [*_calling(message, mention), *words]


def blocks(message: Message, *, interactive: bool, mention: str | None = None) -> list[Block]:
    """Header, body, context and buttons; without `interactive`, links stand as text and there are no other buttons.

    A workspace that has no address for button presses shows an error at each, link buttons included. Whom the config
    says to `mention` is called where somebody must act.
    """
    header = {"type": "header", "text": _plain(f"{sign(message)} {line(message.title)}", HEADER_LIMIT)}
    head = [header, *_calling(message, mention)]
    tail = [_context(message), *(_actions(message) if interactive else _links(message))]
    room = TOTAL_LIMIT - len(text(message, mention)) - characters([*head, *tail])
    return [*head, *_body(message.body, room), *tail]


def now_reads(message: Message, standing: Standing) -> Message:
    """The incident's first message as it should read by now."""
    # The question was asked in a message of its own; here its links would outlive its answer.
    links = tuple(link for link in message.links if link[0] not in (APPROVE, REJECT))
    return replace(message, event=Event.OPENED, title=standing.title, body=standing.body, links=links, expires=None)


def characters(value: object) -> int:
    """How many characters all texts within have."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(map(characters, value.values()))
        case list():
            return sum(map(characters, value))
        case _:
            return 0


def _calling(message: Message, mention: str | None) -> list[Block]:
    """The section that calls whom the config names; nothing where nobody must act."""
    call = called(message, mention)
    return [{"type": "section", "text": _marked(call.strip())}] if call else []


def _body(body: str, room: int) -> Iterator[Block]:
    """The body as rich text, whose runs are shown as they are: Slack looks for no markup in them, and for no names."""
    shown = cut(body, max(room - SECTIONS_FRAME - RUN * min(len(_LABEL.findall(body, 0, room)), LABELS), 0))
    # Each run is an object of its own in the message, so that bold has to stop somewhere.
    labels = LABELS
    for part in _parts(shown, SECTION_LIMIT):
        runs = _LABEL.split(part, maxsplit=labels) if labels else [part]
        labels -= len(runs) // 2
        elements = [_run(text, bold=bool(number % 2)) for number, text in enumerate(runs) if text]
        yield {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def _run(shown: str, *, bold: bool = False) -> Block:
    return {"type": "text", "text": shown, **({"style": {"bold": True}} if bold else {})}


def _parts(whole: str, limit: int) -> Iterator[str]:
    """The text in pieces of at most `limit` characters, cut between lines where there are some."""
    while len(whole) > limit:
        at = whole.rfind("\n", limit // 2, limit)
        at = at if at > 0 else whole_escapes(whole, limit)
        yield whole[:at]
        whole = whole[at:].lstrip("\n")
    if whole.strip():
        yield whole


def _context(message: Message) -> Block:
    incident = message.incident
    facts = [
        line(incident.severity, 20).upper(),
        line(where(incident), 200),
        f"incident {incident.id}",
        f"opened {time_of_day(incident.opened_at)} UTC",
        f"acknowledged by {line(incident.acknowledged_by, 60)}" if incident.acknowledged_by else "",
        f"resolved {time_of_day(incident.resolved_at)} UTC" if incident.resolved_at else "",
    ]
    return {"type": "context", "elements": [_plain(" · ".join(fact for fact in facts if fact), CONTEXT_LIMIT)]}


def _actions(message: Message) -> Iterator[Block]:
    incident, decides = message.incident, message.event is Event.APPROVAL_WANTED
    buttons = []
    if decides:
        sure = {
            "title": _plain("Roll back?", LABEL_LIMIT),
            "text": _plain(message.title, 300),
            "confirm": _plain("Roll back", 30),
            "deny": _plain("Not yet", 30),
        }
        # With the end of its time, so that a press on an old message does not answer a new question.
        carried = value(incident.id, message.expires)
        buttons.append(_button(Action.APPROVE, APPROVE, value=carried, style="primary", confirm=sure))
        buttons.append(_button(Action.REJECT, REJECT, value=carried, style="danger"))
    if not incident.acknowledged_at and not incident.resolved_at and message.event is not Event.RESOLVED:
        buttons.append(_button(Action.ACKNOWLEDGE, "Acknowledge", value=value(incident.id)))
    links = (link for link in _shown_links(message) if not (decides and link[0] in (APPROVE, REJECT)))
    for number, (name, url) in enumerate(links, start=1):
        buttons.append(_button(f"link-{number}", name, url=url))
    if buttons:
        yield {"type": "actions", "elements": buttons[:BUTTONS]}


def _button(action: str, label: str, **more: Any) -> Block:
    return {"type": "button", "action_id": str(action), "text": _plain(label, LABEL_LIMIT), **more}


def _links(message: Message) -> Iterator[Block]:
    links = [f"<{url.replace('&', '&amp;')}|{escape(name, 40)}>" for name, url in _shown_links(message)]
    if links:
        yield {"type": "section", "text": _marked(" · ".join(links))}


def _shown_links(message: Message) -> Iterable[tuple[str, str]]:
    shown, size = [], 0
    for name, url in message.links[:BUTTONS]:
        # A `>` or `|` in a URL would end the link in mrkdwn and begin text of somebody else's choice.
        link = quote(url, safe=SAFE_IN_URL)
        # Room for the link's name and marks, generously.
        size += len(link) + 60
        if size > LINKS_LIMIT:
            break
        shown.append((name, link))
    return shown


def _plain(data: str, limit: int) -> Block:
    # Slack's pages ask to escape in every text object, plain ones too.
    return {"type": "plain_text", "text": escape(line(data, limit) or "-", limit), "emoji": False}


def _marked(mrkdwn: str) -> Block:
    # Verbatim: names and addresses in it become no mentions and no links of Slack's own making.
    return {"type": "mrkdwn", "text": mrkdwn, "verbatim": True}
