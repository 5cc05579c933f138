"""What the configuration says of Opsgenie."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token

Tag = Annotated[str, StringConstraints(min_length=1, max_length=50)]


class OpsgenieSettings(Settings):
    """The key of an API integration; `team` is asked where the integration names none."""

    kind: Literal["opsgenie"]
    api_key: Token
    url: HttpUrl = "https://api.opsgenie.com"
    team: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
