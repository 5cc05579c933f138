"""What the configuration says of deployments that others announce: what their names are here, and shared secrets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from deploywatch.config import Settings
from deploywatch.receiver.settings.channels.webhook import SigningSecret
from deploywatch.secrets import Masked

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Signed(Settings):
    """What the other side signs its requests with; both secrets are good while one takes the place of the other."""

    secret: SigningSecret
    previous_secret: SigningSecret | None = None

    @property
    def secrets(self) -> tuple[Masked, ...]:
        """Every secret that is good."""
        return (self.secret,) if self.previous_secret is None else (self.secret, self.previous_secret)


class GitHub(Signed):
    """GitHub's webhook; `version` is what a deployment's version is called here: the commit, or the ref."""

    version: Literal["sha", "ref"] = "sha"


class Flux(Signed):
    """Flux's provider `generic-hmac`; its events name no environment, so it is given here."""

    environment: Name


class Announcements(Settings):
    """Who announces deployments, and by which names: `services` and `environments` say what another's name is here.

    A service is named `owner/repository` by GitHub, by its application by Argo CD, and `namespace/name` by Flux; what
    is not listed keeps its name, without owner and namespace.
    """

    services: dict[str, Name] = Field(default_factory=dict)
    environments: dict[str, Name] = Field(default_factory=dict)
    github: GitHub | None = None
    flux: Flux | None = None

    def service(self, theirs: str) -> str:
        """What a service is called here."""
        return self.services.get(theirs) or theirs.rpartition("/")[2] or theirs

    def environment(self, theirs: str) -> str:
        """What an environment is called here."""
        return self.environments.get(theirs, theirs)
