"""What the configuration says of a PagerDuty channel."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token
from deploywatch.secrets import Masked


def _integration_key(key: Masked) -> Masked:
    if len(key.get_secret_value()) != 32 or not key.get_secret_value().isalnum():
        raise ValueError("must be the 32 letters and digits of an Events API v2 integration key")
    return key


class PagerDutySettings(Settings):
    """An Events API v2 integration of a PagerDuty service.

    `webhook_secret` is what PagerDuty signs its webhooks v3 with, by which people's doings there come back.
    """

    kind: Literal["pagerduty"]
    routing_key: Annotated[Token, AfterValidator(_integration_key)]
    webhook_secret: Token | None = None
    url: HttpUrl = "https://events.pagerduty.com"
    client_url: HttpUrl | None = None
    changes: bool = True
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
