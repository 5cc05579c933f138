"""The receiver's configuration file."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from deploywatch import config
from deploywatch.config import RelativePath, Settings
from deploywatch.conventions import AlertLabel
from deploywatch.errors import DeploywatchError
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.actions import ActionSettings
from deploywatch.receiver.settings.announcements import Announcements
from deploywatch.receiver.settings.channels import ChannelSettings
from deploywatch.receiver.settings.commands import Commands
from deploywatch.receiver.settings.events import Events
from deploywatch.receiver.settings.people import PeopleSettings
from deploywatch.receiver.settings.strategy import Severity, StrategyTable
from deploywatch.receiver.settings.targets import Targets, label_names
from deploywatch.receiver.settings.upstream import Upstream
from deploywatch.secrets import SecretUrl
from deploywatch.web import prefix as web_prefix

_NAME_LIMIT = 100
TARGET_LABELS: tuple[str, ...] = (AlertLabel.SERVICE, AlertLabel.ENVIRONMENT)


def _duration(text: str) -> Duration:
    return parse_duration(text)


def _channel_name(name: str) -> str:
    # The annotation `channels` separates names by commas.
    if not name.strip() or name != name.strip() or "," in name or len(name) > _NAME_LIMIT:
        raise ValueError(
            f"a channel's name has 1 to {_NAME_LIMIT} characters, no comma and no space at its ends, "
            "because alerts name channels in a list"
        )
    return name


def _labels(names: tuple[str, ...]) -> tuple[str, ...]:
    if lacking := [name for name in TARGET_LABELS if name not in names]:
        raise ValueError(
            f"add {' and '.join(lacking)}: deployments, rollbacks, victims and who is on call are found by "
            "service and environment"
        )
    return label_names(names)


ChannelName = Annotated[str, AfterValidator(_channel_name)]


class Notify(Settings):
    """Which channels hear of a severity when the alert names none; every channel, where nothing is said."""

    by_severity: dict[Severity, tuple[str, ...]] = Field(default_factory=dict)
    """The channels that hear of a severity when the alert names none; every channel, where nothing is said."""
    give_up_after: Duration = _duration("24h")
    """How long a message is tried."""
    joined_every: Annotated[Duration, Field(gt=timedelta())] = _duration("5m")
    """Alerts that join an incident without making it worse are told together, at most this often."""
    fallback: dict[str, str] = Field(default_factory=dict)
    """Who is told instead, when a channel gives up or has not been reached for a while."""
    fall_back_after: Duration = _duration("10m")
    """How long a channel has not been reached before its fallback is told."""
    refused_again_after: Annotated[Duration, Field(gt=timedelta())] = _duration("15m")
    """What a channel refuses is tried again this often, and at once when the configuration is loaded again."""


class ReceiverConfig(ActionSettings, PeopleSettings, Targets):
    """Everything that the receiver is told."""

    database: SecretUrl = Field(default="sqlite:///deploywatch.db", validate_default=True)
    """Where its state is: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST/NAME` for several replicas."""
    external_url: str = ""
    """Where people reach it; links lead there, and its path stands before every path. `--web.external-url` is the
    same."""
    quiet_time: Duration = _duration("5m")
    """How long all alerts of an incident have to be quiet before it is resolved."""
    correlate_by: Annotated[tuple[str, ...], AfterValidator(_labels)] = TARGET_LABELS
    """Alerts with the same values of these labels belong to one incident."""
    strategy: StrategyTable = StrategyTable()
    """What each severity and each incident type comes to, where the alert itself does not say."""
    channels: dict[ChannelName, ChannelSettings] = Field(default_factory=dict)
    """The channels that messages go to, by the name that alerts and the keys below use."""
    notify: Notify = Notify()
    """Which channels hear of what, and how long a channel is tried."""
    commands: Commands = Commands()
    """What the programs that actions run may see of our environment; tokens of ours are no business of theirs."""
    upstream: Upstream = Upstream()
    """The Alertmanagers that deliver here, and the alert that always fires."""
    events: Events = Events()
    """Deployments and incidents as CloudEvents, for everyone else."""
    announcements: Announcements = Announcements()
    """Deployments that others announce."""
    dependencies: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The services that each service needs: what a failing one drags down is shown with it, and opens no incident of
    its own (source 002)."""
    templates: RelativePath | None = None
    """A folder with templates of messages in place of ours."""
    postmortems: Path | None = None
    """A folder that drafts of post-mortems are written to as well; a relative one is state, as SQLite's file is."""
    max_body: Annotated[int, Field(gt=0)] = 32 * 1024**2
    """The largest body of a request, in bytes."""
    keep_deliveries: Duration = _duration("14d")
    """How long webhooks are kept as they came."""
    keep_incidents: Duration = _duration("365d")
    """How long an incident is kept, counted from its end."""

    @cached_property
    def further_labels(self) -> tuple[str, ...]:
        """The labels beside service and environment that incidents are told apart by."""
        return tuple(name for name in self.correlate_by if name not in TARGET_LABELS)

    @cached_property
    def deciding_labels(self) -> frozenset[str]:
        """The labels that say where an alert belongs, how bad it is, and what it asks for; its name does too."""
        bearing = (AlertLabel.SEVERITY, AlertLabel.INCIDENT_TYPE, AlertLabel.ACTION)
        return frozenset((*self.service_from, *self.environment_from, *self.further_labels, *bearing))

    @cached_property
    def outside_channels(self) -> frozenset[str]:
        """The channels of outside contacts that are nobody else's: they hear that they are asked, and the end."""
        theirs = {name for contact in self.oncall.contacts.values() for name in contact.channels}
        named = {name for names in self.notify.by_severity.values() for name in names}
        ours = {name for person in self.oncall.people.values() for name in person.channels} | named
        ours |= {name for team in self.oncall.teams.values() for name in team.channels} | set(self.escalation.channels)
        outside = frozenset(theirs - ours)
        # Where no other channel is left, nobody would hear of anything.
        return outside if set(self.channels) - outside else frozenset()

    @cached_property
    def path_prefix(self) -> str:
        """What stands before every path on the pages: the path of `external_url`, without a slash at its end."""
        return web_prefix.path_of(self.external_url)

    @field_validator("external_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if fault := web_prefix.url_fault(url):
            raise ValueError(fault)
        return url

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
        # Answered with 200, an alert that is only in memory is lost with the process.
        if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise ValueError(
                "SQLite needs a file, because what is only in memory does not survive: write sqlite:///FILE"
            )
        return url

    @model_validator(mode="after")
    def _known_channels(self) -> Self:
        named = {name for names in self.notify.by_severity.values() for name in names} | self.channels_for_people()
        named |= {*self.notify.fallback, *self.notify.fallback.values()}
        unknown = sorted(named - set(self.channels))
        if unknown:
            hints = "; ".join(f"{name!r} is not a channel{config.nearest(name, self.channels)}" for name in unknown)
            raise ValueError(f"notify, escalation and oncall name channels that are not configured: {hints}")
        return self


def load(path: Path, *, storage: Path | None = None, external_url: str = "") -> ReceiverConfig:
    """Read the file; ConfigError tells every fault.

    Relative paths of state (SQLite's file, post-mortems) are taken from the `storage` folder, or else from the file's
    own. `external_url` is what the command line says; DeploywatchError when the file says another.
    """
    settings = config.load(path, ReceiverConfig)
    _ = settings.verification.loaded  # what is wrong with a plan is said at the start, not when it is needed
    state = (path.parent if storage is None else storage).absolute()
    changes: dict[str, Any] = {"database": _database(settings.database, state)}
    if settings.postmortems is not None:
        changes["postmortems"] = state / settings.postmortems.expanduser()
    if external_url:
        if settings.external_url not in {"", external_url}:
            raise DeploywatchError(
                f"{path}: external_url is {settings.external_url}, --web.external-url is {external_url}; keep one"
            )
        changes["external_url"] = external_url
    return settings.model_copy(update=changes)


def _database(database: SecretUrl, state: Path) -> SecretUrl:
    """The URL with SQLite's file as an absolute path."""
    url = make_url(database.get_secret_value())
    if url.get_backend_name() != "sqlite" or not url.database or Path(url.database).is_absolute():
        return database
    # With its password: rendered with `***` it would be opened with that.
    return type(database)(url.set(database=str(state / url.database)).render_as_string(hide_password=False))
