"""What every kind of probe has in common in the config."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails

from deploywatch.config import Settings
from deploywatch.exporter.measure.gauges import check_type
from deploywatch.exporter.measure.reasons import reasons_of
from deploywatch.exporter.probing.measurement import Probe
from deploywatch.exporter.results import (
    Family,
    Reason,
)
from deploywatch.quantity import Duration
from deploywatch.secrets import Masked, filled_of, found_in, is_url, redact_url, without


class TargetKey(NamedTuple):
    """The key of a probe that holds its target, and what stands in for one in a module that has none."""

    name: str
    stand_in: str


_REQUIRED = frozenset({"postgres", "redis"})
_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379, "postgresql": 5432, "postgres": 5432}


class ProbeSettings(Settings):
    """What every kind of probe has in common in the config; `kind` tells them apart.

    `tags` choose probes for a check or a health answer: critical, smoke, integration, or words of the user's own.
    Without `required` databases and Redis are; `timeout` and `interval` are the layer's unless they are given.
    Each kind says where its target stands (`target_key`), or None where it cannot be given one.
    """

    target_key: ClassVar[TargetKey | None]

    kind: str
    layer: str = "immediate"
    tags: tuple[str, ...] = ()
    required: bool | None = None
    timeout: Duration | None = None
    interval: Duration | None = None

    @property
    def is_required(self) -> bool:
        """Whether a service cannot serve without what is probed: unless the config says so, its databases."""
        return self.kind in _REQUIRED if self.required is None else self.required

    def shown_target(self) -> str:
        """What is probed, for people, without credentials."""
        value = getattr(self, self.target_key.name, "") if self.target_key else ""
        text = value.get_secret_value() if isinstance(value, Masked) else str(value)
        return redact_url(text) if "://" in text or "@" in text else text

    def conceal(self, text: str) -> str:
        """The text without secrets, without what came from variables too; where the target is stays readable."""
        place = self.server() or ""
        # A host that came from a variable is no secret to people who look for what failed.
        hidden = (secret for secret in found_in(self) if not is_url(secret) and secret not in place)
        return without(text, frozenset(hidden))

    def server(self) -> str | None:
        """The host and port that a run connects to first, by which runs at once are bounded; None for several."""
        if self.target_key is None:
            return None
        value = getattr(self, self.target_key.name, "")
        return server_of(value.get_secret_value() if isinstance(value, Masked) else str(value))

    def reasons(self) -> tuple[Reason, ...]:
        """Every reason for which a scheduled run can fail."""
        return reasons_of(self.kind, self.impossible())

    def impossible(self) -> frozenset[Reason]:
        """The reasons of the kind for which a probe with these settings cannot fail."""
        return frozenset()

    @model_validator(mode="after")
    def _has_time(self) -> Self:
        for name, given in (("timeout", self.timeout), ("interval", self.interval)):
            if given is not None and given <= timedelta(0):
                raise ValueError(f"{name} must be more than 0s")
        return self

    @model_validator(mode="after")
    def _names_keep_their_promise(self) -> Self:
        for family in self.families():
            check_type(family)
        return self

    @abstractmethod
    def probe(self) -> Probe:
        """The probe that does what these settings say."""

    def with_target(self, target: str) -> Self:
        """The same probe of another target; ValueError, saying why, when it cannot be one."""
        raise ValueError(f"a probe of the kind {self.kind} cannot be given a target; {target!r} is one too many")

    def with_changes(self, **changes: Any) -> Self:
        """A validated copy; ValueError says what is wrong with a change."""
        # Only what was set: a default may depend on what is changed.
        kept = {name: getattr(self, name) for name in self.model_fields_set if name not in changes}
        try:
            return type(self).model_validate(kept | changes, context={"filled": filled_of(self)})
        except ValidationError as error:
            raise ValueError("; ".join(_fault(fault) for fault in error.errors(include_url=False))) from error

    def families(self) -> Iterable[Family]:
        """The metric families that these settings name beyond those of the kind."""
        return ()


def server_of(target: str) -> str | None:
    """The host and port of a URL or of `host:port`; None when they cannot be read."""
    parts = urlsplit(target if "://" in target else f"//{target}")
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return f"{parts.hostname}:{port}" if parts.hostname and port else None


def _fault(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
