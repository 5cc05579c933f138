"""What the configuration says of a channel of Microsoft Teams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import SecretHttpUrl


class TeamsSettings(Settings):
    """The URL of a workflow that posts to a channel or chat; whoever has it can post."""

    kind: Literal["teams"]
    url: SecretHttpUrl
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
