"""What the configuration says of tickets and status pages: where, and the JSON that is posted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from receiver.actions.command import check_template
from receiver.actions.executors.http import texts
from receiver.channels.answers import HttpUrl, Token

PLACEHOLDERS = frozenset(
    {"incident", "service", "environment", "severity", "title", "summary", "status", "url", "opened_at", "key"}
)
"""What a body can say; all of it is data, whatever an alert put there."""


def _template(value: dict[str, Any]) -> dict[str, Any]:
    check_template(texts(value), PLACEHOLDERS)
    return value


class Post(Settings):
    """One POST of JSON an incident; `{key}` and the header `idempotency_header` are the same at each try."""

    url: HttpUrl
    token: Token | None = None
    headers: dict[Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")], Annotated[str, Field(pattern=r"^[ -~]*$")]] = Field(
        default_factory=dict
    )
    idempotency_header: Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")] = "Idempotency-Key"
    body: Annotated[dict[str, Any], AfterValidator(_template)]
    link: str = ""
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"))] = parse_duration("10s")
    give_up_after: Duration = parse_duration("1h")


class Ticket(Post):
    """A ticket an incident; `link` is the dotted path of its address in the answer."""


class StatusPage(Post):
    """An entry on a status page an incident; `link` is the dotted path of its address in the answer."""
