"""What the configuration says of rollbacks: targets, how they prove themselves, and the brakes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from deploywatch.config import Settings
from deploywatch.quantity import Duration, format_duration, parse_duration
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from deploywatch.receiver.settings.placeholders import check_host
from deploywatch.receiver.settings.prometheus import Signal
from deploywatch.secrets import Masked, Secret

# A shorter key of the approval links can be guessed from one link.
# Characters: a shorter secret could be tried out by whoever has seen one signed link.
_SECRET_LENGTH = 16
Mode = Literal["dry-run", "approve", "auto"]


def _long_enough(secret: Masked) -> Masked:
    if len(secret.get_secret_value()) < _SECRET_LENGTH:
        raise ValueError(f"must be at least {_SECRET_LENGTH} characters, such as openssl rand -hex 32 makes")
    return secret


class Verification(Settings):
    """How a rollback proves itself, before `within`: the exporter finds the service well for `healthy_for`, and every
    signal is good for `for`.

    After that the version is looked at while the incident is open and for `watch` longer (0s: not at all), because
    something else may put the bad one back. In `url`, `{service}` and `{environment}` are filled in.
    """

    url: str
    healthy_for: Duration = parse_duration("10s")
    within: Duration = parse_duration("2m")
    interval: Duration = parse_duration("1s")
    watch: Duration = parse_duration("30m")
    signals: tuple[Signal, ...] = ()
    signals_for: Annotated[Duration, Field(alias="for")] = parse_duration("1m")

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("write a URL that begins with http:// or https://")
        unknown = sorted(set(re.findall(r"\{([^{}]*)\}", url)) - {"service", "environment"})
        if unknown:
            raise ValueError(f"unknown {{{unknown[0]}}}; known: {{service}}, {{environment}}")
        check_host(url)
        return url

    @field_validator("interval")
    @classmethod
    def _with_pauses(cls, interval: timedelta) -> timedelta:
        if not interval:
            raise ValueError("0s would ask without a pause; write 1s or more")
        return interval

    @model_validator(mode="after")
    def _can_be_proven(self) -> Self:
        for name, lasting in (("healthy_for", self.healthy_for), ("for", self.signals_for)):
            # It could never be proven, and each rollback would end as failed and call people.
            if lasting >= self.within and (self.signals or name != "for"):
                long, within = format_duration(lasting), format_duration(self.within)
                raise ValueError(f"{name} ({long}) must be shorter than within ({within}), or no rollback is proven")
        return self


class RollbackTarget(RollbackChoice):
    """What is rolled back and how; `*` stands for any service or environment."""

    service: str = "*"
    environment: str = "*"
    mode: Mode | None = None
    verify: Verification

    def covers(self, service: str, environment: str) -> bool:
        """Whether this target is meant for that service in that environment."""
        return self.service in ("*", service) and self.environment in ("*", environment)


class Caps(Settings):
    """How many may begin within an hour: for one service and environment, and in all."""

    target: Annotated[int, Field(ge=1)] = 3
    total: Annotated[int, Field(ge=1)] = 10


class Approval(Settings):
    """How long a person's word is waited for; with a `secret`, messages bear links that say yes and no.

    Where `approvers` are given, only their yes counts: names that the server verified (users, credentials,
    certificates) and Slack IDs. With `not_deployer`, the yes of the one who deployed does not.
    """

    within: Annotated[Duration, Field(gt=parse_duration("0s"))] = parse_duration("15m")
    secret: Annotated[Secret, AfterValidator(_long_enough)] | None = None
    approvers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    not_deployer: bool = False


class Decide(Settings):
    """Source 004, W6: so many different issues must fire, and confidence be so high, before it rolls back by itself."""

    issues: Annotated[int, Field(ge=1)] = 2
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.6


class Rollback(Settings):
    """The brakes: dry-run unless `mode` says otherwise; only recent deployments; not again within the cooldown.

    `on` says what asks for rollbacks: alerts, verdicts on deployments, or both. A person may always.
    `delay` is the time between the decision and the command, in which the alert may resolve or a person step in.
    After `breaker` failed rollbacks in a row a target is left alone until a person allows it again.
    """

    # Nobody's services are rolled back because they installed us: it has to be said.
    mode: Mode = "dry-run"
    on: Annotated[tuple[Literal["alerts", "verdict"], ...], Field(min_length=1)] = ("alerts", "verdict")
    # After a day other causes are likelier than the deployment.
    recent: Duration = parse_duration("24h")
    cooldown: Duration = parse_duration("30m")
    delay: Duration = parse_duration("0s")
    caps: Caps = Caps()
    breaker: Annotated[int, Field(ge=1)] = 3
    approval: Approval = Approval()
    decide: Decide | None = None
    targets: tuple[RollbackTarget, ...] = ()

    def without_links(self, external_url: str) -> str:
        """What somebody should know who asks for approvals without the links that answer them; empty otherwise."""
        # `decide` makes what would be automatic ask, where it is less sure.
        asking = {"approve"} if self.decide is None else {"approve", "auto"}
        asks = any((target.mode or self.mode) in asking for target in self.targets)
        lacking = [
            name
            for name, value in (("rollback.approval.secret", self.approval.secret), ("external_url", external_url))
            if not value
        ]
        if not asks or not lacking:
            return ""
        return (
            "note: rollbacks may wait for approval, and messages bear no links to answer by, for want of "
            f"{' and '.join(lacking)}; "
            "people answer with: deploywatch incidents approve NUMBER"
        )

    def target(self, service: str, environment: str) -> RollbackTarget | None:
        """The first target that covers it."""
        return next((target for target in self.targets if target.covers(service, environment)), None)
