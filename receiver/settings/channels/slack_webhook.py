"""What the configuration says of an incoming webhook of Slack's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.channels.slack import Mention
from deploywatch.receiver.settings.fields import SecretHttpUrl


class SlackWebhookSettings(Settings):
    """The URL that posts to one channel; whoever has it can post."""

    kind: Literal["slack_webhook"]
    url: SecretHttpUrl
    mention: Mention | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
