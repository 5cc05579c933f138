"""The set of channels is complete: module, settings, docs page whose example loads; and none shows its secrets."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
import re
import traceback
from pathlib import Path
from typing import get_args

import pytest
from pydantic import Field
from structlog.testing import capture_logs

from deploywatch import config, document
from deploywatch.config import Settings
from deploywatch.errors import ConfigError
from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.receiver import channels
from deploywatch.receiver.channels import KINDS, connect
from deploywatch.receiver.messages import Channel, DeliveryError, Event
from deploywatch.receiver.settings.channels import ChannelSettings
from tests.receiver.channels.conftest import ROUTING_KEY, SIGNING_SECRET, SLACK_TOKEN, SMTP_PASSWORD, WEBHOOK_SECRET
from tests.receiver.channels.stories import message

DOCS = Path(__file__).parents[3] / "docs" / "channels"
SHARED = {
    "errors",
    "email_connections",
    "lifetime",
    "pacing",
    "pagerduty_events",
    "slack_answers",
    "slack_blocks",
    "slack_requests",
    "slack_search",
}
SECRETS = {
    "slack-token": SLACK_TOKEN,
    "slack-signing-secret": SIGNING_SECRET,
    "pagerduty-key": ROUTING_KEY,
    "smtp-password": SMTP_PASSWORD,
    "webhook-secret": WEBHOOK_SECRET,
    "webhook-url": "https://tools.example.com/hooks/a-secret-path",
}
KIND_NAMES = sorted(get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS)


class _Config(Settings):
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)


def _load(text: str, folder: Path) -> _Config:
    for name, secret in SECRETS.items():
        (folder / name).write_text(f"{secret}\n")
    return config.build(document.read(text, "receiver.yml", {}), _Config, base=folder)


def _example(kind: str) -> str:
    found = re.search(r"```yaml\n(.*?)```", (DOCS / f"{kind}.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def test_every_module_is_a_kind_with_settings_and_a_page() -> None:
    modules = {module.name for module in pkgutil.iter_modules(channels.__path__)} - SHARED
    assert modules == set(KIND_NAMES) == {path.stem for path in DOCS.glob("*.md")} - {"messages"}
    assert set(get_args(get_args(ChannelSettings)[0])) == set(KINDS)
    for name in modules:
        assert (importlib.import_module(f"deploywatch.receiver.channels.{name}").__doc__ or "").count("\n") == 0


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_the_example_of_each_page_loads_and_connects(kind: str, tmp_path: Path) -> None:
    ((name, settings),) = _load(_example(kind), tmp_path).channels.items()
    assert settings.kind == kind
    channel: Channel = connect(name, settings)
    assert channel.wants(Event.OPENED)
    assert all(channel.wants(event) for event in Event) is (kind != "pagerduty")
    await channel.close()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_setting_is_on_its_page(kind: str) -> None:
    (settings,) = [one for one in KINDS if get_args(one.model_fields["kind"].annotation) == (kind,)]
    page = (DOCS / f"{kind}.md").read_text()
    assert [name for name in settings.model_fields if f"`{name}`" not in page and name != "kind"] == []


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_settings_show_no_secret(kind: str, tmp_path: Path) -> None:
    loaded = _load(_example(kind), tmp_path)
    shown = f"{loaded!r} {loaded} {config.redacted(loaded)} {loaded.model_dump_json()}"
    assert not any(secret in shown for secret in SECRETS.values())
    assert "***" in shown


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("kind: slak", "unknown kind 'slak'; did you mean 'slack'"),
        ("kind: slack, channel: ops", "token: is required"),
        ("kind: slack, channel: ops, token: 'xoxb- SECRET'", "must be one word"),
        ("kind: slack, channel: ops, token: xoxb, base_url: ftp://x", "must be a URL"),
        ("kind: slack, channel: ops, token: xoxb, base_url: 'https://u:p@x/'", "must not carry credentials"),
        ("kind: slack, channel: ops, token: xoxb, timeout: 10", "did you mean 10s"),
        ("kind: slack, channel: ops, token: xoxb, timeout: 0s", "greater than"),
        ("kind: slack, channel: ops, token: xoxb, previous_signing_secret: SECRET", "goes with signing_secret"),
        ("kind: webhook, url: 'https://x/', secret: short-SECRET", "must be at least 16 characters"),
        ("kind: webhook, url: 'https://x/'", "secret: is required"),
        ("kind: webhook, url: 'file:///SECRET', secret: 0123456789abcdef", "must be a URL"),
        ("kind: webhook, url: 'https://u:SECRET@x/', secret: 0123456789abcdef", "must not carry credentials"),
        ("kind: pagerduty, routing_key: SECRET", "must be the 32 letters and digits"),
        ("kind: email, smtp: a b, sender: a@b, recipients: [a@b]", "must be host:port"),
        ("kind: email, smtp: 'h:99999', sender: a@b, recipients: [a@b]", "must be host:port"),
        ("kind: email, smtp: 'h:25', sender: nobody, recipients: [a@b]", "must be an address"),
        ("kind: email, smtp: 'h:25', sender: \"a@b\\r\\nBcc: c@d\", recipients: [a@b]", "must be an address"),
        ("kind: email, smtp: 'h:25', sender: a@b, recipients: ['a@b, c@d']", "must be an address"),
        ("kind: email, smtp: 'h:25', sender: a@b, recipients: []", "at least 1 item"),
        ("kind: email, smtp: 'h:25', sender: a@b, recipients: [a@b], username: u", "username and password go together"),
        (
            "kind: email, smtp: 'h:25', sender: a@b, recipients: [a@b], username: u, password: SECRET, security: none",
            "would send the password in clear",
        ),
    ],
)
def test_each_bad_setting_is_told_without_secrets(settings: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as raised:
        _load(f"channels: {{c: {{{settings}}}}}", tmp_path)
    assert "SECRET" not in str(raised.value)


def _pointed_at(served: Serving) -> str:
    return f"""
channels:
  slack: {{kind: slack, token: {SLACK_TOKEN}, signing_secret: {SIGNING_SECRET}, channel: "#ops",
          base_url: "{served.slack_url}", timeout: 5s}}
  pagerduty: {{kind: pagerduty, routing_key: {ROUTING_KEY}, url: "{served.url}", timeout: 5s}}
  email: {{kind: email, smtp: "{served.smtp}", security: none, username: u, password: {SMTP_PASSWORD},
          sender: a@example.com, recipients: [b@example.com], timeout: 5s}}
  webhook: {{kind: webhook, url: "{served.webhook_url}/a-secret-path", secret: "{WEBHOOK_SECRET}", timeout: 5s}}
"""


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "webhook"])
async def test_a_channel_that_is_closed_finishes_what_is_under_way_and_begins_nothing(
    kind: str, inbox: Inbox, served: Serving, tmp_path: Path
) -> None:
    settings = _load(_pointed_at(served).replace("/a-secret-path", ""), tmp_path).channels[kind]
    channel = connect(kind, settings)
    sending = asyncio.create_task(channel.send(message(), None))
    await asyncio.sleep(0)
    await channel.close()
    assert sending.done()
    await sending
    assert len(inbox.received) == 1
    with pytest.raises(DeliveryError) as raised:
        await channel.send(message(), None)
    assert (raised.value.reason, raised.value.again) == ("connection", True)
    assert len(inbox.received) == 1


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_no_secret_shows_in_logs_errors_or_repr(
    kind: str, inbox: Inbox, served: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = _load(_pointed_at(served), tmp_path).channels[kind]
    secrets = (*SECRETS.values(), f"{served.webhook_url}/a-secret-path")
    echo = " ".join(secrets)
    inbox.script("slack", Answer(body={"ok": False, "error": echo}))
    inbox.script("pagerduty", Answer(400, {"status": "invalid event", "errors": [echo]}))
    inbox.script("webhook", Answer(400, echo))
    channel = connect(kind, settings)
    with pytest.raises(DeliveryError) as raised, capture_logs() as logged:
        # The mail server has no login, so that aiosmtplib refuses to go on; /webhook/a-secret-path is not there.
        await channel.send(message(), None)
    await channel.close()
    error = raised.value
    errors = traceback.format_exception(error)
    shown = "\n".join([repr(channel), repr(settings), repr(error), error.detail, str(logged), caplog.text, *errors])
    own = {"slack": (SLACK_TOKEN, SIGNING_SECRET), "pagerduty": (ROUTING_KEY,), "email": (SMTP_PASSWORD,)}
    for secret in own.get(kind, (WEBHOOK_SECRET, f"{served.webhook_url}/a-secret-path")):
        assert secret not in shown
