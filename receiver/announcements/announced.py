"""A deployment as somebody else announces it, and what is no such announcement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints

from deploywatch.errors import DeploywatchError
from deploywatch.receiver.deployments.deployment import Status
from deploywatch.receiver.incidents.timeline import SYSTEM
from deploywatch.receiver.rendering.lookalikes import reads_as

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
"""A name or a version, as the ledger stores it."""


class Source(StrEnum):
    """Who announces deployments."""

    CDEVENTS = "cdevents"
    GITHUB = "github"
    ARGOCD = "argocd"
    FLUX = "flux"


class Became(StrEnum):
    """What became of an announcement; each is counted."""

    BEGAN = "began"
    ENDED = "ended"
    KNOWN = "known"
    CONTRADICTS = "contradicts"
    IGNORED = "ignored"
    FORGED = "forged"
    MALFORMED = "malformed"


class MalformedError(DeploywatchError):
    """A request is not what its source is documented to send; the message has the JSON path."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A deployment began (`status` is None) or ended `at` a time.

    `started_at` names the deployment where its source says when it began. `back` says that it returns to a version;
    `settles`, that its source says the same again and again, without anything being deployed.
    """

    service: str
    environment: str
    version: str
    status: Status | None
    at: datetime
    started_at: datetime | None = None
    artifact: str = ""
    deployer: str = ""
    back: bool = False
    settles: bool = False

    def __post_init__(self) -> None:
        """MalformedError for what no database takes as text."""
        for part in ("service", "environment", "version", "artifact", "deployer"):
            if "\0" in getattr(self, part):
                raise MalformedError(f"$: a NUL character stands in what it says of the {part}")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something that is no news of a deployment, and what it is."""

    why: str


class ForgedError(DeploywatchError):
    """A request does not prove that it comes from whom it names."""


class Parser(Protocol):
    """Reads one source's body."""

    def __call__(self, body: bytes) -> Announced | Ignored:
        """The announcement. Raises MalformedError."""
        ...


class Payload(BaseModel):
    """A part of another's payload: what is not named here is not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def told(name: str) -> str:
    """Who is said to deploy; what reads like our own name is told apart from what we do by ourselves."""
    return f"{name[:180]} (announced)" if reads_as(name, SYSTEM) else name[:200]
