"""The set of channels is complete: module, settings, docs page whose example loads; and none shows its secrets."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import pkgutil
import re
import traceback
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import Field
from structlog.testing import capture_logs

from deploywatch import config
from deploywatch.config import Settings
from deploywatch.errors import ConfigError, DeploywatchError
from deploywatch.fakes.inbox import Answer, Inbox, Serving
from deploywatch.files import yaml_reader
from deploywatch.receiver import channels
from deploywatch.receiver.channels import KINDS, connect, unregistered
from deploywatch.receiver.messages import Channel, DeliveryError
from deploywatch.receiver.settings.channels import ChannelSettings
from deploywatch.receiver.settings.channels.apprise import AppriseSettings
from deploywatch.receiver.story import Event
from deploywatch.secrets import Masked
from tests.receiver.channels.conftest import ROUTING_KEY, SIGNING_SECRET, SLACK_TOKEN, SMTP_PASSWORD, WEBHOOK_SECRET
from tests.receiver.channels.stories import message

DOCS = Path(__file__).parents[3] / "docs" / "channels"
SHARED = {"errors", "http_client", "lifetime", "links", "rate_limit", "signed_post", "signs"}
SECRETS = {
    "slack-token": SLACK_TOKEN,
    "slack-signing-secret": SIGNING_SECRET,
    "pagerduty-key": ROUTING_KEY,
    "smtp-password": SMTP_PASSWORD,
    "webhook-secret": WEBHOOK_SECRET,
    "webhook-url": "https://tools.example.com/hooks/a-secret-path",
    "slack-webhook-url": "https://hooks.slack.example/services/T0/B0/an-incoming-secret",
    "teams-url": "https://logic.example.com/workflows/1/invoke?sig=a-workflows-secret",
    "discord-url": "https://discord.example/api/webhooks/1/a-discord-secret",
    "telegram-token": "123456:a-telegram-secret",
    "opsgenie-key": "an-opsgenie-secret-key",
    "ntfy-topic": "a-secret-ntfy-topic",
    "ntfy-token": "tk_a_secret_ntfy_token",
    "apprise-url": "json://user:an-apprise-secret@127.0.0.1:9/",
}
KIND_NAMES = sorted(get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS)


class _Config(Settings):
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)


def _load(text: str, folder: Path) -> _Config:
    for name, secret in SECRETS.items():
        (folder / name).write_text(f"{secret}\n")
    return config.build(yaml_reader.read(text, "receiver.yml", {}), _Config, base=folder)


def _example(kind: str) -> str:
    match = re.search(r"```yaml\n(.*?)```", (DOCS / f"{kind}.md").read_text(), re.DOTALL)
    assert match
    return match[1]


def test_every_module_is_a_kind_with_settings_and_a_page() -> None:
    assert set(KIND_NAMES) == {path.stem for path in DOCS.glob("*.md")} - {"messages"}
    assert set(get_args(get_args(ChannelSettings)[0])) == set(KINDS)
    # Of what is larger the room has the kind's name, or that of its elder.
    rooms = {module.name for module in pkgutil.iter_modules(channels.__path__)} - SHARED
    made = {make.__module__ for make in KINDS.values()}
    assert rooms == {module.removeprefix(f"{channels.__name__}.").partition(".")[0] for module in made}
    assert len(made) == len(KINDS)
    for name in made:
        assert (importlib.import_module(name).__doc__ or "").count("\n") == 0


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_the_example_of_each_page_loads_and_connects(kind: str, tmp_path: Path) -> None:
    ((name, settings),) = _load(_example(kind), tmp_path).channels.items()
    assert settings.kind == kind
    channel: Channel = connect(name, settings)
    assert channel.wants(Event.OPENED)
    assert all(channel.wants(event) for event in Event) is (kind not in ("pagerduty", "email"))
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
        ("kind: discord, url: 'https://x/api/webhooks/1/SECRET?thread_id=1'", "without a query"),
        ("kind: discord, url: 'https://x/', mention: everyone", "should match pattern"),
        ("kind: telegram, token: SECRET, chat: '-1'", "must be a bot's token"),
        ("kind: telegram, token: '1:SECRET', chat: a b", "should match pattern"),
        ("kind: opsgenie, team: shop", "api_key: is required"),
        ("kind: ntfy, topic: 'SECRET topic'", "must be 1 to 64 letters"),
        ("kind: apprise, url: 'a://SECRET b://x'", "must be one URL of Apprise's"),
        ("kind: slack_webhook, url: 'https://x/', mention: everyone", "should match pattern"),
        ("kind: email, smtp: 'h:25', sender: a@b.c, recipients: [a@b], hello: vm", "must be a full host name"),
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
  slack_webhook: {{kind: slack_webhook, url: "{served.url}/services/T0/B0/an-incoming-secret", timeout: 5s}}
  teams: {{kind: teams, url: "{served.url}/workflows/1/triggers/manual/paths/invoke?sig=a-workflows-secret"}}
  discord: {{kind: discord, url: "{served.url}/api/webhooks/1/a-discord-secret", timeout: 5s}}
  telegram: {{kind: telegram, base_url: "{served.url}", token: "123456:a-telegram-secret", chat: "-1"}}
  opsgenie: {{kind: opsgenie, url: "{served.url}", api_key: an-opsgenie-secret-key, timeout: 5s}}
  ntfy: {{kind: ntfy, url: "{served.url}/ntfy", topic: a-secret-ntfy-topic, token: tk_a_secret_ntfy_token}}
  apprise: {{kind: apprise, url: "json://user:an-apprise-secret@127.0.0.1:9/", timeout: 5s}}
"""


@pytest.mark.parametrize("kind", sorted(set(KIND_NAMES) - {"email", "apprise"}))
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
    own = {
        "slack": (SLACK_TOKEN, SIGNING_SECRET),
        "pagerduty": (ROUTING_KEY,),
        "email": (SMTP_PASSWORD,),
        "webhook": (WEBHOOK_SECRET, f"{served.webhook_url}/a-secret-path"),
        "slack_webhook": ("an-incoming-secret",),
        "teams": ("a-workflows-secret",),
        "discord": ("a-discord-secret",),
        "telegram": ("a-telegram-secret",),
        "opsgenie": ("an-opsgenie-secret-key",),
        "ntfy": ("a-secret-ntfy-topic", "tk_a_secret_ntfy_token"),
        "apprise": ("an-apprise-secret",),
    }
    whole_urls = [one.get_secret_value() for one in (getattr(settings, "url", None),) if isinstance(one, Masked)]
    echo = " ".join((*SECRETS.values(), *whole_urls))
    inbox.script("slack", Answer(body={"ok": False, "error": echo}))
    inbox.script("pagerduty", Answer(400, {"status": "invalid event", "errors": [echo]}))
    for asked in set(KIND_NAMES) - {"slack", "pagerduty", "email", "apprise"}:
        inbox.script(asked, Answer(400, echo))
    channel = connect(kind, settings)
    with pytest.raises(DeliveryError) as raised, capture_logs() as logged:
        # The mail server has no login, so that aiosmtplib refuses to go on; /webhook/a-secret-path is not there.
        await channel.send(message(), None)
    await channel.close()
    error = raised.value
    errors = traceback.format_exception(error)
    shown = "\n".join([repr(channel), repr(settings), repr(error), error.detail, str(logged), caplog.text, *errors])
    mentioned = own[kind] if kind in ("slack", "pagerduty", "email", "webhook", "telegram", "opsgenie", "ntfy") else ()
    for secret in (*mentioned, *whole_urls):
        assert secret not in shown


def test_a_channel_that_is_not_registered_is_told_at_once_with_what_to_do() -> None:
    known = tuple(KINDS)
    assert unregistered(KIND_NAMES, known, known) == []
    (forgotten,) = unregistered([*KIND_NAMES, "pigeon"], known, known)
    assert "receiver/settings/channels/pigeon.py is there" in forgotten
    assert "AnySettings" in forgotten
    (unconnected,) = unregistered(KIND_NAMES, known, known[1:])
    assert "`kind: slack` has settings and no channel" in unconnected
    assert "KINDS in receiver/channels/__init__.py" in unconnected


async def test_apprise_hands_on_and_takes_every_failure_for_one_that_may_pass() -> None:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=200 if len(bodies) == 1 else 401)

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    async with TestServer(app) as server:
        plain = {"kind": "apprise", "url": f"json://127.0.0.1:{server.port}/hook", "timeout": "20s"}
        channel = connect("elsewhere", AppriseSettings.model_validate(plain))
        assert await channel.send(message(), "kept") == "kept"
        assert message().title in json.loads(bodies[0])["title"]
        assert message().links[0][1] in json.loads(bodies[0])["message"]
        with pytest.raises(DeliveryError, match="does not say why") as raised:
            await channel.send(message(), None)
        await channel.close()
    assert (raised.value.reason, raised.value.again) == ("server", True)


async def test_what_an_alert_says_calls_nobody_through_apprise() -> None:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    text = "@everyone @here <@123> <@&456> <!channel> #all /start, ann@example.com, https://r.example/@a"
    async with TestServer(app) as server:
        url = f"mmost://127.0.0.1:{server.port}/{'a' * 26}"  # Mattermost calls whom a webhook's text names
        channel = connect("elsewhere", AppriseSettings.model_validate({"kind": "apprise", "url": url}))
        await channel.send(replace(message(), title=text, body=f"What: {text}", links=()), None)
        await channel.close()
    (sent,) = [json.loads(body)["text"] for body in bodies]
    assert not re.findall(
        r"(?<!\w)@[\w&](?!xample)|<!\w|(?<![\w/])/[a-z]|#\w", sent.replace("https://r.example/@a", "")
    )
    assert sent.count("ann@example.com") == 2
    assert sent.replace("\u2060", "").count(text) == 2


def test_a_url_that_apprise_does_not_know_is_told_without_it() -> None:
    with pytest.raises(DeploywatchError, match=r"channels.elsewhere.url: Apprise knows no such service") as raised:
        connect("elsewhere", AppriseSettings.model_validate({"kind": "apprise", "url": "pigeon://secret@coop"}))
    assert "secret" not in str(raised.value)
