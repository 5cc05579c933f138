"""What the configuration says of a service that is reached by Apprise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.secrets import Masked, Secret


def _one_url(url: Masked) -> Masked:
    text = url.get_secret_value()
    if "://" not in text or len(text.split()) != 1 or "," in text.partition("://")[0]:
        raise ValueError("must be one URL of Apprise's, such as matrix://…; a second service is a second channel")
    return url


class AppriseSettings(Settings):
    """One service; its URL bears its secrets."""

    kind: Literal["apprise"]
    url: Annotated[Secret, AfterValidator(_one_url)]
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("30s")
