"""What the configuration says of a channel of Discord's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import SecretHttpUrl
from deploywatch.secrets import Masked


def _plain(url: Masked) -> Masked:
    if "?" in url.get_secret_value():
        raise ValueError("write the webhook's URL as Discord gives it, without a query")
    return url


class DiscordSettings(Settings):
    """The webhook of one channel, and the role that is called when somebody must act."""

    kind: Literal["discord"]
    url: Annotated[SecretHttpUrl, AfterValidator(_plain)]
    # A role's number: Discord shows it to who has turned on its developer mode.
    mention: Annotated[str, StringConstraints(pattern=r"^[0-9]{15,21}$")] | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
