"""Stories become messages, whatever the templates and the data are like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploywatch.errors import ConfigError
from deploywatch.receiver.incidents.kinds import ASIDE, Kind
from deploywatch.receiver.messages import APPROVE, REJECT, Message
from deploywatch.receiver.rendering import loading
from deploywatch.receiver.rendering import templates as rendering
from deploywatch.receiver.rendering.dedup_key import DEDUP_KEY_LIMIT, dedup_key
from deploywatch.receiver.rendering.filters import FILTERS, lasting, markdown, since, until, utc, web_link
from deploywatch.receiver.rendering.templates import Templates, render_postmortem
from deploywatch.receiver.rendering.text import cut, line
from deploywatch.receiver.story import Event, RollbackView, Story, TimelineEntryView
from tests.receiver.channels.stories import (
    ALERT,
    AWKWARD,
    DEPLOYMENT,
    HOSTILE,
    INCIDENT,
    NOW,
    OPENED,
    ROLLBACK,
    TEMPLATES,
    message,
    same_as_golden,
    story,
)

GOLDEN = Path(__file__).parents[1] / "channels" / "golden"
TIMELINE = (
    TimelineEntryView(OPENED, "opened", "deploywatch", "HighErrorRate fires"),
    TimelineEntryView(NOW, "acknowledged", "ann", "on my way"),
)


def _written(message: Message) -> str:
    links = "".join(f"{name}: {url}\n" for name, url in message.links)
    return f"{message.title}\n\n{message.body}\n\n{links}"


@pytest.mark.parametrize("event", Event)
def test_each_event_reads_as_committed(event: Event) -> None:
    same_as_golden(GOLDEN / "message" / f"{event}.txt", _written(message(event)))


def test_there_is_one_template_an_event_and_no_other() -> None:
    names = {path.name.removesuffix(".j2") for path in loading.OURS.glob("*.j2")}
    assert names == {*Event, "_parts", "postmortem.md"}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_data_makes_one_line_of_title_and_a_bounded_body(name: str) -> None:
    message = TEMPLATES.render(AWKWARD[name])
    assert message.title
    assert "\n" not in message.title
    assert len(message.title) <= rendering.TITLE_LIMIT
    assert 0 < len(message.body) <= rendering.BODY_LIMIT
    assert len(message.dedup_key) <= DEDUP_KEY_LIMIT
    assert "plain because its template" not in message.body
    (message.title + message.body + message.dedup_key).encode()


def test_many_alerts_are_counted_and_the_worst_are_shown() -> None:
    body = TEMPLATES.render(AWKWARD["300 alerts"]).body
    assert "Alerts (300 of 300 firing):" in body
    assert "- and 290 more" in body


def test_text_of_alerts_is_never_a_template() -> None:
    message = TEMPLATES.render(AWKWARD["hostile text everywhere"])
    assert "{{ 7*7 }}" in message.title
    assert "{% for x in y %}" in message.body
    assert "\x1b" not in message.body
    assert "\u202e" not in message.body


def test_links_are_web_links_that_break_out_of_nothing() -> None:
    message = TEMPLATES.render(AWKWARD["hostile text everywhere"])
    assert [name for name, _ in message.links] == ["Runbook", "Prometheus"]
    assert not set('|<>" \r\n') & set(message.links[0][1])


def test_the_same_link_of_many_alerts_stands_once() -> None:
    message = TEMPLATES.render(Story(Event.OPENED, NOW, INCIDENT, (ALERT, replace(ALERT, name="Other"))))
    assert [name for name, _ in message.links] == ["Incident", "Runbook", "Dashboard", "Prometheus"]


def test_a_users_template_replaces_ours_and_can_extend_it(tmp_path: Path) -> None:
    (tmp_path / "opened.j2").write_text(
        '{% extends "deploywatch/opened.j2" %}\n{% block title %}PAGE {{ super() }}{% endblock %}\n'
    )
    (tmp_path / "resolved.j2").write_text("{% block title %}over{% endblock %}{% block body %}{{ note }}{% endblock %}")
    templates = Templates(tmp_path)
    opened = templates.render(story(Event.OPENED))
    assert opened.title == f"PAGE {message(Event.OPENED).title}"
    assert opened.body == message(Event.OPENED).body
    assert templates.render(story(Event.RESOLVED)).title == "over"
    assert templates.render(story(Event.ESCALATED)) == message(Event.ESCALATED)


def test_a_users_parts_are_used_by_our_templates(tmp_path: Path) -> None:
    ours = (loading.OURS / "_parts.j2").read_text()
    (tmp_path / "_parts.j2").write_text(ours.replace("How bad:", "Severity:"))
    assert "Severity: critical" in Templates(tmp_path).render(story(Event.OPENED)).body


GOOD = "{% block title %}t{% endblock %}{% block body %}b{% endblock %}"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("opened.j2", GOOD + "\n\n{% if %}", r"opened\.j2:3:1: .*[Ee]xpected an expression"),
        ("opened.j2", GOOD + "\n{{ incident | nosuch }}", r"opened\.j2:2:1: .*nosuch"),
        (
            "opened.j2",
            "{% block title %}{{ incidnet }}{% endblock %}",
            r"opened\.j2:1:1: incidnet: unknown.*'incident'",
        ),
        ("opened.j2", "{% block title %}t{% endblock %}", r"opened\.j2:1:1: body: write the block"),
        ("opened.j2", GOOD + "\n{% include 'gone.j2' %}", r"opened\.j2:2:1: there is no template 'gone\.j2'"),
        ("openned.j2", GOOD, r"openned\.j2: is the template of no event; did you mean 'opened\.j2'"),
        ("postmortem.md.j2", "{{ incident.title }}\n{% endif %}", r"postmortem\.md\.j2:2:1"),
        ("opened.j2", b"\xff\xfe", r"opened\.j2: is not UTF-8 at byte 0"),
    ],
)
def test_a_broken_template_is_named_with_its_line_at_start(
    tmp_path: Path, name: str, content: str | bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=problem):
        Templates(tmp_path)


def test_all_broken_templates_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "opened.j2").write_text("{{")
    (tmp_path / "resolved.j2").write_text("{{")
    with pytest.raises(ConfigError) as raised:
        Templates(tmp_path)
    assert len(raised.value.problems) == 2


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        Templates(tmp_path / "gone")


@pytest.mark.parametrize(
    "fault",
    [
        "{{ incident.nosuch }}",
        "{{ 1 / 0 }}",
        "{{ alerts[99].name }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ alerts.append(1) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ range(10000000) | list }}",
    ],
)
def test_a_template_that_fails_still_tells_the_facts_and_says_so(tmp_path: Path, fault: str) -> None:
    (tmp_path / "rollback_failed.j2").write_text(GOOD.replace("b{% endblock %}", fault + "{% endblock %}"))
    told = Templates(tmp_path).render(story(Event.ROLLBACK_FAILED))
    assert told.title == "Rollback failed: HighErrorRate (shop in production)"
    assert "plain because its template rollback_failed.j2 failed" in told.body
    for fact in ("5.2% of the shop's requests fail", "1.2.3 → 1.2.2", "critical, 5.2%, threshold 1%", "HighErrorRate"):
        assert fact in told.body
    assert told.links == message(Event.ROLLBACK_FAILED).links


def test_endless_output_of_a_template_is_cut(tmp_path: Path) -> None:
    (tmp_path / "opened.j2").write_text(
        "{% block title %}{% for i in range(90000) %}title\n{% endfor %}{% endblock %}"
        "{% block body %}{% for i in range(90000) %}body{% endfor %}{% endblock %}"
    )
    message = Templates(tmp_path).render(story(Event.OPENED))
    assert len(message.title) == rendering.TITLE_LIMIT
    assert len(message.body) == rendering.BODY_LIMIT
    assert message.title.endswith("…")
    assert message.body.endswith("…")


def test_an_empty_title_is_filled(tmp_path: Path) -> None:
    (tmp_path / "opened.j2").write_text("{% block title %} {% endblock %}{% block body %}{% endblock %}")
    assert Templates(tmp_path).render(story(Event.OPENED)).title == "Opened: HighErrorRate (shop in production)"


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("HighErrorRate", "HighErrorRate (shop in production)"),
        ("5.2% of the Shop's requests fail", "5.2% of the Shop's requests fail (production)"),
        ("shop in production fails 5.2% of its requests", "shop in production fails 5.2% of its requests"),
        ("shop-api fails in production", "shop-api fails in production (shop in production)"),
        ("", "shop in production"),
        ("t" * 10_000, "t" * 99 + "… (shop in production)"),
    ],
)
def test_titles_name_service_and_environment_exactly_once(title: str, subject: str) -> None:
    incident = replace(INCIDENT, title=title)
    assert TEMPLATES.render(replace(story(Event.OPENED), incident=incident)).title == subject
    escalated = TEMPLATES.render(replace(story(Event.ESCALATED), incident=incident))
    assert escalated.title == f"Escalated: {subject}"


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("HighErrorRate", "HighErrorRate (shop in production, region=eu, cluster=c1)"),
        ("The shop fails", "The shop fails (production, region=eu, cluster=c1)"),
        ("The shop in production fails in eu", "The shop in production fails in eu (cluster=c1)"),
    ],
)
def test_titles_and_places_name_what_else_tells_incidents_apart(title: str, subject: str) -> None:
    apart = {"region": "eu", "cluster": "c1"}
    incident = replace(story(Event.OPENED).incident, title=title, correlation=apart)
    message = TEMPLATES.render(replace(story(Event.OPENED), incident=incident))
    assert message.title == subject
    assert "Where: shop in production, region=eu, cluster=c1\n" in message.body


def test_without_an_environment_the_service_alone_is_named() -> None:
    bare = replace(story(Event.OPENED), incident=replace(INCIDENT, environment=""))
    assert TEMPLATES.render(bare).title == "HighErrorRate (shop)"


@pytest.mark.parametrize("event", Event)
def test_what_changes_the_state_tells_how_the_first_message_should_read(event: Event) -> None:
    told = message(event)
    assert (told.standing is not None) is (event in rendering.CHANGES_STATE)
    if told.standing:
        assert told.standing.title == message(Event.OPENED).title
        taken = event in {Event.ACKNOWLEDGED, Event.UPDATE, Event.RESOLVED}
        assert ("Status: " in told.standing.body) is taken
        assert ("Next: acknowledge it" in told.standing.body) is not taken
        assert ("Now: what was said of " in told.standing.body) is event.startswith(("rollback_", "approval_"))


@pytest.mark.parametrize("event", Event)
def test_every_message_says_where_people_meet_until_it_is_over(event: Event) -> None:
    told = replace(story(event), bridge="https://meet.example/1")
    over = replace(told, incident=replace(told.incident, resolved_at=NOW))
    going_on = replace(told, incident=replace(told.incident, resolved_at=None))
    assert dict(TEMPLATES.render(going_on).links)["Bridge"] == "https://meet.example/1"
    assert "Bridge" not in dict(TEMPLATES.render(over).links)


def test_only_an_approval_bears_links_to_decide_and_its_time() -> None:
    asked = story(Event.APPROVAL_WANTED)
    message = TEMPLATES.render(asked)
    assert [name for name, _ in message.links][:2] == [APPROVE, REJECT]
    assert message.expires == asked.expires
    other = TEMPLATES.render(replace(asked, event=Event.ROLLBACK_STARTED))
    assert APPROVE not in dict(other.links)
    assert other.expires is None


@pytest.mark.parametrize("event", Event)
def test_a_story_without_any_of_the_optional_parts_is_told_by_its_own_template(event: Event) -> None:
    for alerts in ((), (ALERT,)):
        message = TEMPLATES.render(Story(event, NOW, INCIDENT, alerts))
        assert "plain because its template" not in message.body
        assert "None" not in message.title + message.body


def test_a_note_that_says_what_happened_once_more_is_left_out() -> None:
    message = TEMPLATES.render(replace(story(Event.OPENED), note=ALERT.summary))
    assert message.body.count(ALERT.summary) == 1
    assert "Now:" not in message.body


def test_every_event_and_every_variable_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "channels" / "messages.md").read_text()
    assert [name for name in (*Event, *rendering.MESSAGE_VARIABLES) if f"`{name}`" not in page] == []
    assert [name for name in FILTERS if f"`{name}`" not in page] == []


def test_a_status_update_without_a_time_promises_none() -> None:
    assert message(Event.UPDATE).body.endswith("Next update: by 2026-05-01 14:20:10 UTC (in 15m)")
    bare = TEMPLATES.render(replace(story(Event.UPDATE), next_update=None))
    assert bare.body.endswith("Next update: when something changes")


def test_a_reminder_asks_whoever_has_it_for_an_update() -> None:
    taken = replace(INCIDENT, acknowledged_by="ann", acknowledged_at=NOW)
    message = TEMPLATES.render(replace(story(Event.REMINDER), incident=taken, next_update=NOW))
    assert message.title == "Status update due: HighErrorRate (shop in production)"
    assert "ann, people wait for a status update since 2026-05-01 14:05:10 UTC." in message.body


def test_a_degradation_tells_what_the_alert_says_when_nothing_else_does() -> None:
    body = TEMPLATES.render(replace(story(Event.DEGRADATION), degradation=None)).body
    for line_ in ("Metric: HighLatency", "Value: 5.2%", "Threshold: 1%", "Duration: 1m 5s"):
        assert line_ in body


def test_the_dedup_key_stays_with_the_incident_and_differs_from_the_next() -> None:
    later = replace(INCIDENT, severity="low", status="resolved", resolved_at=NOW, title="other")
    assert dedup_key(later) == dedup_key(INCIDENT) == "deploywatch/production/shop/12/1777644185"
    assert dedup_key(replace(INCIDENT, id=13)) != dedup_key(INCIDENT)
    assert dedup_key(replace(INCIDENT, opened_at=NOW)) != dedup_key(INCIDENT)
    assert dedup_key(replace(INCIDENT, service="s" * 999)) != dedup_key(replace(INCIDENT, service="s" * 998))


def test_the_post_mortem_reads_as_committed() -> None:
    ended = replace(
        INCIDENT,
        resolved_at=OPENED + timedelta(minutes=4, seconds=10),
        acknowledged_at=NOW,
        acknowledged_by="ann",
    )
    done = replace(ROLLBACK, duration=timedelta(seconds=42))
    same_as_golden(GOLDEN / "postmortem.md", render_postmortem(ended, (ALERT,), TIMELINE, done, DEPLOYMENT))


def test_the_post_mortem_of_an_open_incident_without_deployment_says_so() -> None:
    text = render_postmortem(INCIDENT, (), (), None, None)
    assert "| Duration | still open |" in text
    assert "No recent deployment is known." in text
    assert "No rollback is recorded." in text


def test_a_post_mortem_counts_what_was_only_sent_and_shows_what_happened() -> None:
    sent = TimelineEntryView(NOW, Kind.TOLD, "deploywatch", "ops was told", aside=Kind.TOLD in ASIDE)
    draft = TEMPLATES.render_postmortem(INCIDENT, [ALERT], [*TIMELINE, sent], None, None)
    assert TIMELINE[0].text in draft
    assert sent.text not in draft
    assert "1 more line, of a message that was sent" in draft


def test_data_cannot_break_the_post_mortem() -> None:
    entry = TimelineEntryView(NOW, HOSTILE, HOSTILE, HOSTILE)
    rollback = RollbackView(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    hostile = AWKWARD["hostile text everywhere"]
    text = render_postmortem(hostile.incident, hostile.alerts, [entry], rollback, replace(DEPLOYMENT, version=HOSTILE))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    calm = [line for line in render_postmortem(INCIDENT, (), (), None, None).splitlines() if line.startswith("#")]
    assert headings[1:] == calm[1:]
    assert "<script" not in text.replace("\\<script", "")
    row = next(line for line in text.splitlines() if line.startswith("| 2026-05-01 14:05:10"))
    assert row.replace("\\|", "").count("|") == 5


def test_a_post_mortem_template_that_fails_gives_ours_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "postmortem.md.j2").write_text("{{ incident.nosuch }}")
    text = Templates(tmp_path).render_postmortem(INCIDENT, (ALERT,), TIMELINE, None, None)
    assert text.startswith("*The template postmortem.md.j2 failed: UndefinedError")
    assert "## Root cause" in text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(minutes=4, seconds=10), "4m 10s"),
        (timedelta(days=2, hours=3, minutes=4), "2d 3h"),
        (timedelta(hours=1, seconds=5), "1h"),
        (timedelta(milliseconds=400), "0s"),
        (timedelta(seconds=-5), "0s"),
        (None, "unknown"),
    ],
)
def test_durations_read_as_people_say_them(duration: timedelta | None, text: str) -> None:
    assert lasting(duration) == text


def test_times_are_told_in_utc() -> None:
    assert utc(datetime.fromisoformat("2026-05-01T16:03:05+02:00")) == "2026-05-01 14:03:05 UTC"
    assert utc(datetime(2026, 5, 1, 14, 3, 5)) == "2026-05-01 14:03:05 UTC"  # noqa: DTZ001 - views may lack a zone
    assert utc(None) == "unknown"
    assert since(INCIDENT, OPENED) == "2026-05-01 14:03:05 UTC"
    assert since(INCIDENT, datetime(2026, 5, 1, 15, 3, 5, tzinfo=UTC)).endswith("(1h ago)")


def test_times_to_come_say_how_far_off_they_are() -> None:
    assert until(OPENED, OPENED - timedelta(minutes=30)) == "2026-05-01 14:03:05 UTC (in 30m)"
    assert until(OPENED, NOW) == "2026-05-01 14:03:05 UTC (now)"
    assert until(None, NOW) == "unknown"


def test_texts_are_cut_with_a_mark() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 4) == "abc…"
    assert line("a\r\n b\t c\u2028d", 20) == "a b c d"
    assert markdown("a|b <c> &") == "a\\|b \\<c\\> &amp;"


@pytest.mark.parametrize(
    ("url", "link"),
    [
        (" https://a.example/b?c=d&e=f#g ", "https://a.example/b?c=d&e=f#g"),
        ("https://a.example/ü b%20c", "https://a.example/%C3%BC%20b%20c"),
        ("javascript:alert(1)", ""),
        ("https:///nohost", ""),
        ("http://[broken", ""),
        ("/relative", ""),
        ("https://a.example/" + "x" * 2000, ""),
    ],
)
def test_only_sound_web_links_pass(url: str, link: str) -> None:
    assert web_link(url) == link


LATE = {
    "over": replace(INCIDENT, resolved_at=NOW, status="resolved"),
    "in hand": replace(INCIDENT, acknowledged_at=NOW, acknowledged_by="ann"),
}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", LATE)
def test_a_message_that_was_held_up_asks_nobody_to_take_what_is_over_or_in_hand(event: Event, state: str) -> None:
    body = TEMPLATES.render(replace(story(event), incident=LATE[state])).body
    assert "acknowledge it" not in body
    assert "approve or reject it" not in body or state == "in hand"


def test_a_review_says_when_it_began_where_that_was_before_the_incident_opened() -> None:
    began = replace(ALERT, starts_at=OPENED - timedelta(minutes=5))
    told = render_postmortem(INCIDENT, [began], TIMELINE, None, None)
    assert "| Began | 2026-05-01 13:58:05 UTC, 5m before the incident opened |" in told
    assert "Began" not in render_postmortem(INCIDENT, [ALERT], TIMELINE, None, None)
