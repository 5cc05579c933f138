"""What the configuration says of channels: one module a kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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

AnySettings = (
    SlackSettings
    | SlackWebhookSettings
    | TeamsSettings
    | DiscordSettings
    | TelegramSettings
    | PagerDutySettings
    | OpsgenieSettings
    | EmailSettings
    | NtfySettings
    | WebhookSettings
    | AppriseSettings
)
ChannelSettings = Annotated[AnySettings, Field(discriminator="kind")]
"""A config field for a channel of any kind."""
