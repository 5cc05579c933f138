"""The settings about where alerts come from."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.secrets import Masked


class Reconcile(Settings):
    """Open alerts are compared with what the Alertmanagers have.

    What is missing there for `every` is over. What fires there, and was not delivered although it is older than
    `settle`, is taken in; younger, it may still be on its way. `receiver` is a regular expression for the names that
    our routes have there.
    """

    every: Duration = parse_duration("5m")
    settle: Duration = parse_duration("2m")
    receiver: str = "deploywatch.*"

    @property
    def pause(self) -> timedelta:
        """How long to wait from one comparison to the next, at least a second."""
        # As often as the shorter of the two asks for, and never without a pause.
        return max(min(self.every, self.settle), timedelta(seconds=1))


class Watchdog(Settings):
    """An alert that always fires; when it has not been heard of for `within`, an incident says that alerts are lost."""

    alert: str = "Watchdog"
    within: Duration = parse_duration("15m")
    service: str = "monitoring"
    environment: str = "default"


class Alertmanager(Settings):
    """One that delivers here: where its API is, who we are there, and the labels that its webhook's URL adds.

    A token, or a name and a password; the URL may bear the latter, too. `headers` are sent besides, such as the one by
    which Mimir knows the tenant.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    token: Masked | None = None
    username: str = ""
    password: Masked | None = None
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Masked] = Field(default_factory=dict)
    labels: dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if bool(self.username) != bool(self.password):
            raise ValueError("write username and password together")
        if self.token and self.username:
            raise ValueError("write either token, or username and password")
        # Two of one header: which of them counts is the other side's choice.
        if (self.token or self.username) and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("write either the header Authorization, or token, or username and password")
        return self

    @property
    def asked_with(self) -> dict[str, str]:
        """The headers of every request: those that are configured, and the one that says who we are."""
        return {name: value.get_secret_value() for name, value in self.headers.items()} | self._authorization

    @property
    def _authorization(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        if self.password:
            both = f"{self.username}:{self.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {b64encode(both).decode()}"}
        return {}


def _from_url(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


class Upstream(Settings):
    """The Alertmanagers that deliver here, as URLs or with their logins; none means that nothing is compared."""

    alertmanagers: tuple[Annotated[Alertmanager, BeforeValidator(_from_url)], ...] = ()
    reconcile: Reconcile = Reconcile()
    watchdog: Watchdog | None = None
