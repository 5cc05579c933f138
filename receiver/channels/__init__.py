"""The kinds of channel: one module each; `connect` makes one from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from deploywatch.config import Settings
from deploywatch.receiver.channels.email import EmailChannel
from deploywatch.receiver.channels.pagerduty import PagerDutyChannel
from deploywatch.receiver.channels.slack import SlackChannel
from deploywatch.receiver.channels.webhook import WebhookChannel
from deploywatch.receiver.messages import Channel
from deploywatch.receiver.settings.channels import AnySettings
from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings

KINDS: Final[Mapping[type[Settings], Callable[[str, Any], Channel]]] = {
    SlackSettings: SlackChannel,
    PagerDutySettings: PagerDutyChannel,
    EmailSettings: EmailChannel,
    WebhookSettings: WebhookChannel,
}


def connect(name: str, settings: AnySettings) -> Channel:
    """The channel that these settings describe; nothing is sent, and no connection opened, until its first message."""
    return KINDS[type(settings)](name, settings)
