"""`--config.check --live`: each channel's credentials are tried, and nobody is told anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploywatch.cli import main
from deploywatch.fakes.inbox import Answer, Inbox, MailRules, Serving, serving

TOKEN = "xoxb-good-token"


@pytest.fixture
def inbox() -> Inbox:
    """What nobody should get."""
    return Inbox()


@pytest.fixture
async def served(inbox: Inbox) -> AsyncIterator[Serving]:
    """Services that know good credentials."""
    rules = MailRules(login=("u", "good-password"))
    async with serving(inbox, smtp=("127.0.0.1", 0), mail=rules, slack_token=TOKEN) as running:
        yield running


def _config(folder: Path, served: Serving, **changes: object) -> Path:
    channels = {
        "team": {"kind": "slack", "token": TOKEN, "channel": "#ops", "base_url": served.slack_url},
        "pager": {"kind": "pagerduty", "routing_key": "R" * 32, "url": served.url},
        "chat": {"kind": "discord", "url": f"{served.url}/api/webhooks/1/good"},
        "tools": {"kind": "webhook", "url": served.webhook_url, "secret": "0123456789abcdef"},
    }
    file = folder / "receiver.yml"
    file.write_text(json.dumps({"channels": {**channels, **changes}}))
    return file


async def _check(file: Path) -> object:
    def call() -> object:
        with pytest.raises(SystemExit) as ended:
            main(("receiver", "--config.file", str(file), "--config.check", "--live"))
        return ended.value.code

    return await asyncio.to_thread(call)


async def test_good_credentials_are_good_and_nobody_hears_anything(
    served: Serving, inbox: Inbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _check(_config(tmp_path, served)) == 0
    printed = capsys.readouterr().out
    assert "channels.team: good: Slack knows the token as deploywatch of example" in printed
    assert "channels.pager: good: PagerDuty takes the routing key" in printed
    assert "channels.chat: good: Discord knows the webhook" in printed
    assert "channels.tools: not tried: a webhook cannot be tried without a message" in printed
    assert [message for message in inbox.received if message.title != "resolve"] == []


async def test_each_bad_one_is_named_with_its_reason_and_ends_it_with_1(
    served: Serving, inbox: Inbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox.script("pagerduty", Answer(400, {"status": "invalid event", "errors": ["Invalid routing key"]}))
    team = {"kind": "slack", "token": "xoxb-revoked", "channel": "#ops", "base_url": served.slack_url}
    chat = {"kind": "discord", "url": f"{served.url}/api/webhooks/1/wrong"}
    assert await _check(_config(tmp_path, served, team=team, chat=chat)) == 1
    printed = capsys.readouterr().err
    assert "channels.team: bad: credentials: Slack says invalid_auth" in printed
    assert "channels.pager: bad: rejected: HTTP 400: Invalid routing key" in printed
    assert "channels.chat: bad: credentials: HTTP 401: Invalid Webhook Token" in printed
    assert "xoxb-revoked" not in printed


def test_live_without_a_check_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "receiver.yml").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        main(("receiver", "--config.file", str(tmp_path / "receiver.yml"), "--live"))
    assert ended.value.code == 2
    assert "--live goes with --config.check" in capsys.readouterr().err
