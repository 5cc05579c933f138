"""Slack's Block Kit: what it looks like, its limits, its buttons; and markup in data is inert."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from deploywatch.receiver.channels.slack import blocks as slack_blocks
from deploywatch.receiver.channels.slack.blocks import Block
from deploywatch.receiver.channels.slack.text import escape
from deploywatch.receiver.channels.slack.text import text as text_of
from deploywatch.receiver.messages import Message
from deploywatch.receiver.rendering.templates import CHANGES_STATE
from deploywatch.receiver.story import Event
from tests.receiver.channels.limits import check_slack
from tests.receiver.channels.stories import AWKWARD, INCIDENT, NOW, SOON, TEMPLATES, file_name, message, same_as_golden

GOLDEN = Path(__file__).parent / "golden" / "slack"


def _written(message: Message) -> str:
    text, blocks = text_of(message), slack_blocks.blocks(message, interactive=True)
    check_slack(text, blocks)
    return json.dumps({"text": text, "blocks": blocks}, indent=2, ensure_ascii=False) + "\n"


def _buttons(message: Message, *, interactive: bool = True) -> dict[str, Block]:
    blocks = slack_blocks.blocks(message, interactive=interactive)
    actions = [block for block in blocks if block["type"] == "actions"]
    return {button["text"]["text"]: button for block in actions for button in block["elements"]}


@pytest.mark.parametrize("event", Event)
def test_each_event_reads_as_committed(event: Event) -> None:
    same_as_golden(GOLDEN / f"{event}.json", _written(message(event)))


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_messages_read_as_committed(name: str) -> None:
    same_as_golden(GOLDEN / "awkward" / file_name(name, ".json"), _written(TEMPLATES.render(AWKWARD[name])))


@pytest.mark.parametrize("event", sorted(CHANGES_STATE))
def test_the_first_message_reads_as_committed_after_each_change(event: Event) -> None:
    told = message(event)
    assert told.standing
    same_as_golden(GOLDEN / "first" / f"{event}.json", _written(slack_blocks.now_reads(told, told.standing)))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_event_keeps_to_the_limits_with_awkward_data(name: str) -> None:
    for event, interactive in product(Event, (True, False)):
        message = TEMPLATES.render(replace(AWKWARD[name], event=event))
        check_slack(text_of(message), slack_blocks.blocks(message, interactive=interactive))


@pytest.mark.parametrize("filling", ["&", "<", "🔥", "\n- &", "a\n", "What: x\n"])
def test_the_largest_message_keeps_to_the_limits(filling: str) -> None:
    links = tuple((filling * 50, "https://x.example/" + "y" * 1900) for _ in range(30))
    incident = replace(INCIDENT, service=filling * 999, severity=filling * 99, acknowledged_by=filling * 999)
    told = replace(message(), title=filling * 999, body=filling * 12_000, links=links, incident=incident)
    for interactive in (True, False):
        check_slack(text_of(told), slack_blocks.blocks(told, interactive=interactive))


def test_who_is_asked_to_approve_has_buttons_that_carry_incident_and_approval() -> None:
    buttons = _buttons(message(Event.APPROVAL_WANTED))
    assert [*buttons] == ["Approve", "Reject", "Acknowledge", "Incident", "Runbook", "Dashboard", "Prometheus"]
    assert buttons["Approve"]["value"] == buttons["Reject"]["value"] == f"12/{int(SOON.timestamp())}"
    assert buttons["Approve"]["confirm"]["title"]["text"] == "Roll back?"
    assert "url" not in buttons["Approve"]


@pytest.mark.parametrize("event", [Event.OPENED, Event.ESCALATED, Event.REMINDER, Event.ROLLBACK_FAILED])
def test_an_open_incident_can_be_acknowledged_from_each_message(event: Event) -> None:
    assert _buttons(message(event))["Acknowledge"]["value"] == "12"


def test_nobody_acknowledges_what_somebody_has_or_what_is_over() -> None:
    taken = replace(message(), incident=replace(INCIDENT, acknowledged_at=NOW))
    for told in (taken, message(Event.ACKNOWLEDGED), message(Event.RESOLVED)):
        assert "Acknowledge" not in _buttons(told)


def test_without_buttons_links_stand_as_text_and_decide_by_the_web() -> None:
    told = message(Event.APPROVAL_WANTED)
    assert _buttons(told, interactive=False) == {}
    links = slack_blocks.blocks(told, interactive=False)[-1]["text"]["text"]
    assert "<https://deploywatch.example.com/approve/abc|Approve>" in links
    assert "&amp;from=now-1h|Dashboard>" in links


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("interactive", [True, False])
def test_nothing_of_an_alert_stands_where_slack_reads_markup(event: Event, *, interactive: bool) -> None:
    hostile = AWKWARD["hostile text everywhere"]
    alert = replace(hostile.alerts[0], runbook_url="https://r.example/*a*_b_~c~`d`|x")
    message = TEMPLATES.render(replace(hostile, event=event, alerts=(alert,)))
    blocks = slack_blocks.blocks(message, interactive=interactive, mention="S0123456789")
    for block in [*blocks, *slack_blocks.plain(message, "S0123456789")]:
        for read in _read_as_markup(block):
            bare = re.sub(r"<(https?://[^<>|]*)\|[A-Za-z0-9 ]+>", "", read).replace("<!subteam^S0123456789>", "")
            assert set(bare) <= set(" ·"), read


def _read_as_markup(value: object) -> Iterator[str]:
    """Every text within that Slack reads as mrkdwn."""
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value["text"]
        assert value.get("type") != "markdown"
    for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _read_as_markup(inside)


def test_what_an_alert_says_is_shown_letter_by_letter() -> None:
    told = replace(message(), body="What: *b* _i_ ~s~ `c` :boom: &lt; <!channel>\nWhere: a *b*")
    (rich,) = [block for block in slack_blocks.blocks(told, interactive=True) if block["type"] == "rich_text"]
    runs = rich["elements"][0]["elements"]
    assert "".join(run["text"] for run in runs) == told.body
    assert [run["text"] for run in runs if run.get("style") == {"bold": True}] == ["What:", "Where:"]


def test_links_are_escaped_even_when_a_message_bears_bad_ones() -> None:
    bad = replace(message(), links=(("a<b", "https://x.example/|<!channel>&y=1"),))
    assert _buttons(bad)["a&lt;b"]["url"] == "https://x.example/%7C%3C!channel%3E&y=1"
    shown = slack_blocks.blocks(bad, interactive=False)[-1]["text"]["text"]
    assert shown == "<https://x.example/%7C%3C!channel%3E&amp;y=1|a&lt;b>"


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [("a&b", 7, "a&amp;b"), ("a&b", 6, "a…"), ("a&b&c", 8, "a&amp;b…"), ("abc", 0, "…"), ("a;&&", 7, "a;…")],
)
def test_a_cut_never_splits_an_escape(data: str, limit: int, text: str) -> None:
    assert escape(data, limit) == text


@pytest.mark.parametrize("body", ["&" * 4000, "x" + "<" * 4000, "line &\n" * 600])
def test_the_body_is_cut_between_lines(body: str) -> None:
    parts = [
        block["elements"][0]["elements"][0]["text"]
        for block in slack_blocks.blocks(replace(message(), body=body, links=()), interactive=True)
        if block["type"] == "rich_text"
    ]
    assert len(parts) > 1
    assert body.count("\n") < 2 or all(part.splitlines()[-1] == "line &" for part in parts)


@pytest.mark.parametrize("body", ["&" * 2000, "x" + "<" * 2000, "line &\n" * 500])
def test_plain_sections_are_cut_between_lines_and_never_within_an_escape(body: str) -> None:
    sections = [block["text"]["text"] for block in slack_blocks.plain(replace(message(), body=body, links=()))]
    assert len(sections) > 1
    assert [re.findall(r"&(?!amp;|lt;)", part) for part in sections] == [[] for _ in sections]
    assert body.count("\n") < 2 or all(part.splitlines()[-1].endswith("line &amp;") for part in sections[:-1])
