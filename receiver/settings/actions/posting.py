"""What the configuration says of tickets and status pages: where, and the JSON that is sent at either end."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.fields import HttpUrl, Token
from deploywatch.receiver.settings.placeholders import check_host, check_template, texts
from deploywatch.secrets import Masked, Secret

PLACEHOLDERS = frozenset(
    {"incident", "service", "environment", "severity", "title", "summary", "status", "url", "opened_at", "key"}
)
"""What a body can say; all of it is data, whatever an alert put there."""
IN_THE_END = frozenset({"reference", "resolved_at", "duration"})
"""What it can say besides once the incident is over."""


def _template(value: dict[str, Any]) -> dict[str, Any]:
    check_template(texts(value), PLACEHOLDERS)
    return value


def _last_template(value: dict[str, Any]) -> dict[str, Any]:
    check_template(texts(value), PLACEHOLDERS | IN_THE_END)
    return value


def _url_template(url: str) -> str:
    check_template((url,), frozenset({"reference", "incident", "key"}))
    check_host(url)
    return url


def _printable(value: Masked) -> Masked:
    text = value.get_secret_value()
    # A line end in a header would begin another; other letters are not defined in one.
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII characters on one line")
    return value


HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]+$")]
HeaderValue = Annotated[Secret, AfterValidator(_printable)]


class InTheEnd(Settings):
    """One request when the incident is resolved; the `url` may bear `{reference}`, `{incident}` and `{key}`."""

    url: Annotated[HttpUrl, AfterValidator(_url_template)]
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    body: Annotated[dict[str, Any], AfterValidator(_last_template)]


class Post(Settings):
    """One POST of JSON an incident; `{key}` and the header `idempotency_header` are the same at each try.

    `link` and `reference` are the dotted paths, in the answer, of the address for people and of the name for programs.
    """

    url: HttpUrl
    token: Token | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    # Many APIs know it, and those that do not ignore it.
    idempotency_header: HeaderName = "Idempotency-Key"
    body: Annotated[dict[str, Any], AfterValidator(_template)]
    link: str = ""
    reference: str = ""
    resolved: InTheEnd | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"))] = parse_duration("10s")
    give_up_after: Duration = parse_duration("1h")

    @property
    def secrets(self) -> tuple[Masked, ...]:
        """What must not be shown, should the other side send it back."""
        return (*((self.token,) if self.token else ()), *self.headers.values())

    @model_validator(mode="after")
    def _known_reference(self) -> Self:
        if self.resolved and not self.reference:
            named = [text for text in (self.resolved.url, *texts(self.resolved.body)) if "{reference}" in text]
            if named:
                where = "write with `reference` where the answer has it, such as id"
                raise ValueError(f"resolved says {{reference}} in {named[0]!r}; {where}")
        return self


class Ticket(Post):
    """A ticket an incident."""


class StatusPage(Post):
    """An entry on a status page an incident."""
