"""The kinds of channel: one module each; `connect` makes one from its settings."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args

from deploywatch.config import Settings
from deploywatch.receiver.channels.apprise.channel import AppriseChannel
from deploywatch.receiver.channels.discord import DiscordChannel
from deploywatch.receiver.channels.email.channel import EmailChannel
from deploywatch.receiver.channels.ntfy import NtfyChannel
from deploywatch.receiver.channels.opsgenie import OpsgenieChannel
from deploywatch.receiver.channels.pagerduty.channel import PagerDutyChannel
from deploywatch.receiver.channels.slack.channel import SlackChannel
from deploywatch.receiver.channels.slack.webhook import SlackWebhookChannel
from deploywatch.receiver.channels.teams import TeamsChannel
from deploywatch.receiver.channels.telegram import TelegramChannel
from deploywatch.receiver.channels.webhook import WebhookChannel
from deploywatch.receiver.messages import Channel
from deploywatch.receiver.settings import channels as settings_room
from deploywatch.receiver.settings.channels import AnySettings
from deploywatch.receiver.settings.channels.apprise import AppriseSettings
from deploywatch.receiver.settings.channels.discord import DiscordSettings
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.settings.channels.ntfy import NtfySettings
from deploywatch.receiver.settings.channels.opsgenie import OpsgenieSettings
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.channels.slack_webhook import SlackWebhookSettings
from deploywatch.receiver.settings.channels.teams import TeamsSettings
from deploywatch.receiver.settings.channels.telegram import TelegramSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings

KINDS: Final[Mapping[type[Settings], Callable[[str, Any], Channel]]] = {
    SlackSettings: SlackChannel,
    SlackWebhookSettings: SlackWebhookChannel,
    TeamsSettings: TeamsChannel,
    DiscordSettings: DiscordChannel,
    TelegramSettings: TelegramChannel,
    PagerDutySettings: PagerDutyChannel,
    OpsgenieSettings: OpsgenieChannel,
    EmailSettings: EmailChannel,
    NtfySettings: NtfyChannel,
    WebhookSettings: WebhookChannel,
    AppriseSettings: AppriseChannel,
}


class NotRegisteredError(ImportError):
    """A channel's module is there, but no config can name it."""


def kind_of(settings: type[Settings]) -> str:
    """The word that the config says for a channel with these settings."""
    kind: str = get_args(settings.model_fields["kind"].annotation)[0]
    return kind


def unregistered(modules: Iterable[str], known: Iterable[type[Settings]], connected: Iterable[type]) -> list[str]:
    """What is to be done about settings whose channel was forgotten: a sentence each.

    `modules` are those of settings, `known` the settings that the config accepts, `connected` those with a channel.
    """
    kinds = {kind_of(model): model for model in known}
    faults = [
        f"receiver/settings/channels/{name}.py is there, but no config can say `kind: {name}`: add its settings to "
        "AnySettings in receiver/settings/channels/__init__.py"
        for name in sorted(set(modules) - set(kinds))
    ]
    return faults + [
        f"`kind: {kind}` has settings and no channel: write receiver/channels/{kind}.py and add it to KINDS in "
        "receiver/channels/__init__.py"
        for kind in sorted(kinds)
        if kinds[kind] not in set(connected)
    ]


# At import, so that a channel that was half added fails every test and every start, and not the first message.
if _faults := unregistered(
    (module.name for module in pkgutil.iter_modules(settings_room.__path__)), get_args(AnySettings), KINDS
):
    raise NotRegisteredError("; ".join(_faults))


def connect(name: str, settings: AnySettings) -> Channel:
    """The channel that these settings describe; nothing is sent, and no connection opened, until its first message."""
    return KINDS[type(settings)](name, settings)


def connect_all(settings: Mapping[str, AnySettings]) -> dict[str, Channel]:
    """Every configured channel, by its name."""
    return {name: connect(name, setting) for name, setting in settings.items()}
