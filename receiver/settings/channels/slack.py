"""What the configuration says of a Slack channel."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token
from deploywatch.secrets import Masked

Mention = Annotated[str, StringConstraints(pattern=r"^([SUW][A-Z0-9]{5,20}|here|channel)$")]
"""Whom a message calls when somebody must act: the ID of a user group (S…) or person (U…), or here, or channel."""


class SlackSettings(Settings):
    """A channel of a Slack workspace, and the bot that posts to it."""

    kind: Literal["slack"]
    token: Token
    channel: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    mention: Mention | None = None
    signing_secret: Token | None = None
    previous_signing_secret: Token | None = None
    base_url: HttpUrl = "https://slack.com/api/"
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")

    @property
    def signing_secrets(self) -> tuple[Masked, ...]:
        """The secrets that Slack may sign its requests with; two while one takes the place of the other."""
        return tuple(secret for secret in (self.signing_secret, self.previous_signing_secret) if secret is not None)

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        if self.previous_signing_secret is not None and self.signing_secret is None:
            raise ValueError("previous_signing_secret goes with signing_secret; give both or only the latter")
        return self
