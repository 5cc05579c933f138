"""What the configuration says of channels: one module a kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from deploywatch.receiver.settings.channels.email import EmailSettings
from deploywatch.receiver.settings.channels.pagerduty import PagerDutySettings
from deploywatch.receiver.settings.channels.slack import SlackSettings
from deploywatch.receiver.settings.channels.webhook import WebhookSettings

AnySettings = SlackSettings | PagerDutySettings | EmailSettings | WebhookSettings
ChannelSettings = Annotated[AnySettings, Field(discriminator="kind")]
"""A config field for a channel of any kind."""
