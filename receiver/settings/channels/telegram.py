"""What the configuration says of a chat of Telegram's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token
from deploywatch.secrets import Masked


def _bot(token: Masked) -> Masked:
    number, colon, secret = token.get_secret_value().partition(":")
    if not (number.isdigit() and colon and secret.replace("-", "").replace("_", "").isalnum()):
        raise ValueError("must be a bot's token as BotFather gives it: a number, a colon, and letters and digits")
    return token


class TelegramSettings(Settings):
    """A bot, and the chat it writes to: a number, or a public channel's @name."""

    kind: Literal["telegram"]
    token: Annotated[Token, AfterValidator(_bot)]
    chat: Annotated[str, StringConstraints(pattern=r"^(-?[0-9]{1,19}|@[A-Za-z][A-Za-z0-9_]{3,})$")]
    base_url: HttpUrl = "https://api.telegram.org"
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")
