"""The plan of a slot swap: a file that says how a version gets into the slot, what must be well there, and the swap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from deploywatch import config
from deploywatch.config import Settings
from deploywatch.quantity import Duration, parse_duration
from deploywatch.receiver.settings.actions.rollback import Verification
from deploywatch.receiver.settings.executors.choice import RollbackChoice
from deploywatch.receiver.settings.placeholders import PLACEHOLDERS, check_template

UNKNOWN = "unknown"
"""What stands for `{from_version}` where the ledger knows of none."""


class Proof(Settings):
    """What must be well: the exporter's word about health and version, and smoke tests, commands that end with 0.

    A command is an argv list, never a shell, with `{service}`, `{environment}`, `{from_version}` and `{to_version}`
    filled in; each has `timeout`.
    """

    health: Verification
    smoke: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    timeout: Duration = parse_duration("5m")

    @field_validator("smoke")
    @classmethod
    def _known_placeholders(cls, smoke: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for command in smoke:
            check_template(command, PLACEHOLDERS)
        return smoke

    @model_validator(mode="after")
    def _no_signals(self) -> Self:
        if self.health.signals:
            raise ValueError("health.signals are for rollbacks; here the stage's verdict judges the metrics")
        return self


class SlotPlan(Settings):
    """How one service is deployed by way of a slot.

    `deploy` puts a version into the slot, `slot` says what must be well there, `swap` brings it into production, and
    `production` says what must be well afterwards. `stage` is the stage of the verification plan that is watched then.
    Commands find PATH, HOME, LANG and the variables that `variables` names. `patience`: how long errors of the verdict
    are waited out; `back_within`: how long a rollback of the receiver's is waited for.
    """

    service: Annotated[str, Field(min_length=1)]
    environment: Annotated[str, Field(min_length=1)]
    strategy: str = "blue-green"
    deploy: RollbackChoice
    slot: Proof
    swap: RollbackChoice
    production: Proof
    stage: Annotated[str, Field(min_length=1)] = "switched"
    variables: tuple[str, ...] = ()
    patience: Duration = parse_duration("5m")
    back_within: Duration = parse_duration("10m")

    @field_validator("variables")
    @classmethod
    def _set(cls, variables: tuple[str, ...]) -> tuple[str, ...]:
        if lacking := [name for name in variables if name not in os.environ]:
            raise ValueError(f"{', '.join(lacking)}: not set in the environment; set it, or take it out")
        return variables


def load(path: Path) -> SlotPlan:
    """Read a plan; ConfigError tells every fault with its place."""
    return config.load(path, SlotPlan, variables=os.environ)
