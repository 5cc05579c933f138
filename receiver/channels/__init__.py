"""The kinds of channel: one module each; `connect` makes one from its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.receiver.channels.email import EmailChannel, EmailSettings
from deploywatch.receiver.channels.pagerduty import PagerDutyChannel, PagerDutySettings
from deploywatch.receiver.channels.slack import SlackChannel, SlackSettings
from deploywatch.receiver.channels.webhook import WebhookChannel, WebhookSettings
from deploywatch.receiver.messages import Channel

AnySettings = SlackSettings | PagerDutySettings | EmailSettings | WebhookSettings
ChannelSettings = Annotated[AnySettings, Field(discriminator="kind")]
"""A config field for a channel of any kind."""

KINDS: Final[Mapping[type[Settings], Callable[[str, Any], Channel]]] = {
    SlackSettings: SlackChannel,
    PagerDutySettings: PagerDutyChannel,
    EmailSettings: EmailChannel,
    WebhookSettings: WebhookChannel,
}


def connect(name: str, settings: AnySettings) -> Channel:
    """The channel that these settings describe; nothing is sent, and no connection opened, until its first message."""
    return KINDS[type(settings)](name, settings)
