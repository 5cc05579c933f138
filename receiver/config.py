"""The receiver's configuration file."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from deploywatch import config
from deploywatch.config import RelativePath, Settings
from deploywatch.quantity import Duration, format_duration, parse_duration
from deploywatch.secrets import SecretUrl
from receiver.actions.command import check_template
from receiver.channels import ChannelSettings
from receiver.people.settings import PeopleSettings
from receiver.strategy import Severity, StrategyTable
from receiver.upstream.settings import Upstream

_NAME_LIMIT = 100


def _duration(text: str) -> Duration:
    return parse_duration(text)


def _channel_name(name: str) -> str:
    if not name.strip() or name != name.strip() or "," in name or len(name) > _NAME_LIMIT:
        raise ValueError(
            f"a channel's name has 1 to {_NAME_LIMIT} characters, no comma and no space at its ends, "
            "because alerts name channels in a list"
        )
    return name


ChannelName = Annotated[str, AfterValidator(_channel_name)]


class Verification(Settings):
    """How a rollback proves itself: the exporter's health of the service, good for `healthy_for`, before `within`.

    In `url`, `{service}` and `{environment}` are filled in.
    """

    url: str
    healthy_for: Duration = _duration("10s")
    within: Duration = _duration("2m")
    interval: Duration = _duration("1s")

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("write a URL that begins with http:// or https://")
        unknown = sorted(set(re.findall(r"\{([^{}]*)\}", url)) - {"service", "environment"})
        if unknown:
            raise ValueError(f"unknown {{{unknown[0]}}}; known: {{service}}, {{environment}}")
        return url

    @field_validator("interval")
    @classmethod
    def _with_pauses(cls, interval: timedelta) -> timedelta:
        if not interval:
            raise ValueError("0s would ask without a pause; write 1s or more")
        return interval

    @model_validator(mode="after")
    def _can_be_proven(self) -> Self:
        if self.healthy_for >= self.within:
            healthy, within = format_duration(self.healthy_for), format_duration(self.within)
            raise ValueError(
                f"healthy_for ({healthy}) must be shorter than within ({within}), or no rollback is proven"
            )
        return self


class RollbackTarget(Settings):
    """What is rolled back by which program; `*` stands for any service or environment.

    `command` is an argv list, never a shell; `{service}`, `{environment}`, `{from_version}` and `{to_version}` are
    filled in within each argument.
    """

    service: str = "*"
    environment: str = "*"
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout: Duration = _duration("5m")
    verify: Verification

    @field_validator("command")
    @classmethod
    def _known_placeholders(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        check_template(command)
        return command

    def covers(self, service: str, environment: str) -> bool:
        """Whether this target is meant for that service in that environment."""
        return self.service in ("*", service) and self.environment in ("*", environment)


class Rollback(Settings):
    """The brakes: dry-run unless `mode: auto`; only recent deployments; not again within the cooldown.

    `delay` is the time between the decision and the command, in which the alert may resolve or a person step in.
    """

    mode: Literal["dry-run", "auto"] = "dry-run"
    recent: Duration = _duration("24h")
    cooldown: Duration = _duration("30m")
    delay: Duration = _duration("0s")
    targets: tuple[RollbackTarget, ...] = ()

    def target(self, service: str, environment: str) -> RollbackTarget | None:
        """The first target that covers it."""
        return next((target for target in self.targets if target.covers(service, environment)), None)


class Notify(Settings):
    """Which channels hear of a severity when the alert names none; every channel, where nothing is said."""

    by_severity: dict[Severity, tuple[str, ...]] = Field(default_factory=dict)
    give_up_after: Duration = _duration("24h")


class ReceiverConfig(PeopleSettings):
    """Everything that the receiver is told."""

    database: SecretUrl = Field(default="sqlite:///deploywatch.db", validate_default=True)
    external_url: str = ""
    quiet_time: Duration = _duration("5m")
    strategy: StrategyTable = StrategyTable()
    channels: dict[ChannelName, ChannelSettings] = Field(default_factory=dict)
    notify: Notify = Notify()
    rollback: Rollback = Rollback()
    upstream: Upstream = Upstream()
    # Source 002: what a failing service drags down is shown with it, and opens no incident of its own.
    dependencies: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    templates: RelativePath | None = None
    postmortems: RelativePath | None = None
    max_body: Annotated[int, Field(gt=0)] = 32 * 1024**2
    keep_deliveries: Duration = _duration("14d")

    @field_validator("database")
    @classmethod
    def _known_database(cls, url: SecretUrl) -> SecretUrl:
        try:
            parsed = make_url(url.get_secret_value())
            backend = parsed.get_backend_name()
        except ArgumentError as error:
            raise ValueError(
                "not a database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
            ) from error
        if backend not in ("sqlite", "postgresql"):
            raise ValueError(
                f"{backend} is not supported; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
            )
        if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise ValueError(
                "SQLite needs a file, because what is only in memory does not survive: write sqlite:///FILE"
            )
        return url

    @model_validator(mode="after")
    def _known_channels(self) -> Self:
        named = {name for names in self.notify.by_severity.values() for name in names} | self.channels_for_people()
        unknown = sorted(named - set(self.channels))
        if unknown:
            hints = "; ".join(f"{name!r} is not a channel{config.nearest(name, self.channels)}" for name in unknown)
            raise ValueError(f"notify, escalation and oncall name channels that are not configured: {hints}")
        return self


def load(path: Path) -> ReceiverConfig:
    """Read the file; a SQLite path is taken from the file's folder. ConfigError tells every fault."""
    settings = config.load(path, ReceiverConfig)
    url = make_url(settings.database.get_secret_value())
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_absolute():
        absolute = url.set(database=str((path.parent / url.database).absolute()))
        return settings.model_copy(
            update={"database": type(settings.database)(absolute.render_as_string(hide_password=False))}
        )
    return settings
