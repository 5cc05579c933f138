"""What the configuration says of a topic of ntfy's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token
from deploywatch.secrets import Masked, Secret


def _topic(topic: Masked) -> Masked:
    name = topic.get_secret_value()
    if not (1 <= len(name) <= 64 and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise ValueError("must be 1 to 64 letters, digits, - and _")
    return topic


class NtfySettings(Settings):
    """A server and a topic; on an open server whoever knows the topic's name reads it and writes to it."""

    kind: Literal["ntfy"]
    topic: Annotated[Secret, AfterValidator(_topic)]
    url: HttpUrl = "https://ntfy.sh"
    token: Token | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
