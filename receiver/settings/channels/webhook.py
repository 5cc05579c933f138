"""What the configuration says of a generic webhook."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import SecretHttpUrl, Token
from deploywatch.secrets import Masked

# A shorter key of an HMAC can be guessed from one signed body.
SECRET_LENGTH: Final = 16


def _long_enough(secret: Masked) -> Masked:
    if len(secret.get_secret_value()) < SECRET_LENGTH:
        raise ValueError(f"must be at least {SECRET_LENGTH} characters, such as openssl rand -hex 32 makes")
    return secret


SigningSecret = Annotated[Token, AfterValidator(_long_enough)]


class WebhookSettings(Settings):
    """Where messages are posted to, and what they are signed with."""

    kind: Literal["webhook"]
    url: SecretHttpUrl
    secret: SigningSecret
    previous_secret: SigningSecret | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
    answers_pages: bool = False
    """Whether your server says that it took a message by a page of HTML; else one is a proxy's, and tried again."""

    @property
    def secrets(self) -> tuple[Masked, ...]:
        """What each message is signed with: both, while one takes the place of the other."""
        return (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)
