"""How a policy lets deployments begin and judges them stage by stage: what the gate asks for, limits of the verdict."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field, field_validator

from deploywatch.config import Settings
from deploywatch.quantity import Quantity, QuantityField, Unit, parse_quantity
from deploywatch.rules.language.fields import Period
from deploywatch.rules.series.names import NotEmpty

TAKES: Final[dict[str, frozenset[str]]] = {
    "approval": frozenset({"of", "in", "within"}),
    "health": frozenset({"level", "in"}),
    "capacity": frozenset({"that", "in"}),
    "backup": frozenset({"within", "in"}),
    "record": frozenset({"of", "within", "in"}),
    "on_call": frozenset({"in"}),
    "rollback_target": frozenset({"in"}),
    "monitoring": frozenset({"in"}),
    "baseline": frozenset({"in", "within"}),
    "no_open_incident": frozenset({"in"}),
    "change_window": frozenset({"in"}),
    "staging_verified": frozenset({"in", "of", "within"}),
}
"""What the gate can ask for, each with the keys that it takes beside `require`."""

NEEDS: Final[dict[str, frozenset[str]]] = {
    "approval": frozenset({"of"}),
    "capacity": frozenset({"that"}),
    "backup": frozenset({"within"}),
    "record": frozenset({"of", "within"}),
}
"""The keys that must be there."""

LEVELS: Final = ("basic", "detailed", "comprehensive")


class Requirement(Settings):
    """What the gate asks for before a deployment begins; several in one entry when they take nothing else.

    `of`: the roles whose approval is wanted, each another person's; the environment that must be verified; the kind of
    a record. `in`: the environments where it is asked for; everywhere when not given.
    """

    require: str | tuple[str, ...]
    of: tuple[str, ...] = ()
    in_: Annotated[tuple[str, ...], Field(alias="in")] = ()
    level: str | None = None
    that: str | None = None
    within: Period | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names in `require`."""
        return (self.require,) if isinstance(self.require, str) else self.require

    @field_validator("of", "in_", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Verdict(Settings):
    """What a stage is judged by: `fail` limits shares of requests, `watch` all else.

    `false_rollback` is how often, at most, a good deployment is rolled back, all limits, stages and looks together;
    `false_promotion` how often a limit that is not kept is taken for kept.
    """

    fail: Annotated[tuple[str, ...], NotEmpty]
    watch: tuple[str, ...] = ()
    false_rollback: QuantityField = Quantity(Decimal("0.01"), Unit.RATIO)
    false_promotion: QuantityField = Quantity(Decimal("0.05"), Unit.RATIO)
    look: Period = timedelta(seconds=30)
    source: Annotated[dict[str, str], NotEmpty]

    @field_validator("false_rollback", "false_promotion")
    @classmethod
    def _a_chance(cls, value: Quantity) -> Quantity:
        if value.unit is not Unit.RATIO or not 0 < value.value <= parse_quantity("20%").value:
            raise ValueError(f"{value} is no chance to be wrong with; write one above 0% and at most 20%")
        return value
