"""What the configuration says of a channel by email."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from deploywatch.config import RelativePath, Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings import fields
from deploywatch.secrets import Secret

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


_ADDRESS: Final = r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"


MAILBOX: Final = re.compile(rf"(?P<bare>(?a:{_ADDRESS}))|(?P<name>[^<>\",;:@\\]*?)\s*<(?P<named>(?a:{_ADDRESS}))>")


_HOST_PORT: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+)(?::(\d{1,5}))?")


def _mailbox(text: str) -> str:
    if not text.isprintable() or not MAILBOX.fullmatch(text.strip()):
        raise ValueError("must be an address such as ops@example.com or Operations <ops@example.com>")
    return text.strip()


def _host_port(text: str) -> str:
    match = _HOST_PORT.fullmatch(text.strip())
    if match is None or (match[2] is not None and not 0 < int(match[2]) < 65536):
        raise ValueError("must be host:port, such as smtp.example.com:587")
    return text.strip()


_HELLO: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
    r"|\[(?:IPv6:)?[0-9A-Fa-f.:]+\]"
)


def _hello(name: str) -> str:
    if not _HELLO.fullmatch(name):
        raise ValueError("must be a full host name such as deploywatch.example.com, or an address such as [192.0.2.7]")
    return name


Mailbox = Annotated[str, AfterValidator(_mailbox)]


class EmailSettings(Settings):
    """An SMTP server, and who writes to whom."""

    kind: Literal["email"]
    smtp: Annotated[str, AfterValidator(_host_port)]
    sender: Mailbox
    recipients: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=100)]
    username: str | None = None
    password: Secret | None = None
    # How it names itself to the server; many refuse what is no full name.
    hello: Annotated[str, AfterValidator(_hello)] | None = None
    # Whether it mails that a rollback began or succeeded, too: nobody must act, and the end says it.
    progress: bool = False
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: RelativePath | None = None
    timeout: Annotated[Duration, Field(gt=parse_duration("0s"), le=parse_duration("5m"))] = parse_duration("10s")

    @property
    def host(self) -> str:
        """The server's name or address, an IPv6 address without its brackets."""
        match = _HOST_PORT.fullmatch(self.smtp)
        return match[1].strip("[]") if match else self.smtp

    @property
    def port(self) -> int:
        """The server's port; the one that its security usually has, when none is given."""
        match = _HOST_PORT.fullmatch(self.smtp)
        return int(match[2]) if match and match[2] else PORTS[self.security]

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; give both or neither")
        if self.password is not None and self.security == "none" and not fields.is_loopback(f"smtp://{self.smtp}"):
            raise ValueError("security: none would send the password in clear; use starttls or tls")
        return self
