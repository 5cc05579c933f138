"""`deploywatch render`: every template, ours or a user's, as it would be sent, without sending anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.receiver.story import Event
from tests.receiver.scene import alert, body

HOSTILE = "{{ 7*7 }} {% raise %} <script> <!channel>"


@pytest.fixture
def webhook(tmp_path: Path) -> Path:
    """Two alerts as Alertmanager sends them."""
    file = tmp_path / "webhook.json"
    said = {"summary": HOSTILE, "runbook_url": "https://runbooks.example/1", "value": "5%", "threshold": "1%"}
    file.write_bytes(body(alert(severity="critical", annotations=said), alert("HighLatency")))
    return file


Render = Callable[..., tuple[int, str]]


@pytest.fixture
def render(capsys: pytest.CaptureFixture[str]) -> Render:
    """Runs the command; its exit code and all that it says."""

    def run(*arguments: object) -> tuple[int, str]:
        code: object = 0
        try:
            main(["render", *map(str, arguments)])
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        assert isinstance(code, int)
        return code, printed.out + printed.err

    return run


@pytest.mark.parametrize("event", Event)
def test_every_message_is_previewed_whole_and_alerts_are_data(event: Event, webhook: Path, render: Render) -> None:
    code, shown = render(event.value, "--alert", webhook)
    assert code == 0, shown
    assert "{{ 7*7 }}" in shown
    assert "unknown" not in shown.replace("in unknown state", "")
    assert "Runbook: https://runbooks.example/1" in shown
    assert "its template" not in shown


def test_an_approval_is_previewed_with_its_time_and_links(webhook: Path, render: Render) -> None:
    _, shown = render("approval_wanted", "--alert", webhook)
    assert "(in 15m)" in shown
    assert "Approve: https://" in shown
    assert "Reject: https://" in shown


def test_the_post_mortem_is_previewed_as_markdown(webhook: Path, render: Render) -> None:
    code, shown = render("postmortem", "--alert", webhook)
    assert code == 0, shown
    assert shown.startswith("# Post-mortem: {{ 7\\*7 }}")
    assert "## Timeline" in shown
    assert "<script>" not in shown


def test_a_users_template_is_previewed(webhook: Path, tmp_path: Path, render: Render) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "opened.j2").write_text(
        "{% block title %}Hear!{% endblock %}{% block body %}{{ lead.name }}{% endblock %}"
    )
    config = tmp_path / "receiver.yml"
    config.write_text("templates: templates\n")
    _, shown = render("opened", "--alert", webhook, "--config.file", config)
    assert shown.splitlines()[:3] == ["Hear!", "", "HighErrorRate"]


@pytest.mark.parametrize(
    ("content", "text"),
    [("{}", "not an Alertmanager webhook"), ("nonsense", "not an Alertmanager webhook"), (None, "cannot be read")],
)
def test_a_file_that_is_no_webhook_is_told(content: str | None, text: str, tmp_path: Path, render: Render) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content)
    code, shown = render("opened", "--alert", file)
    assert code == 2
    assert text in shown


def test_a_webhook_without_alerts_is_told(tmp_path: Path, render: Render) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(body())
    code, shown = render("postmortem", "--alert", file)
    assert code == 2
    assert "give at least one alert" in shown
